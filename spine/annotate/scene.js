// The back in 3D: the skin with the pictures upon it, the line and the marks, and the fitted spine underneath.
const ON_SKIN_MM = 1.2;
let scene = null;

class Scene {
  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl, bones: null, opacity: 1, dirty: false });
    this.program = program(gl);
    const { left_mm, right_mm, bottom_mm, top_mm } = facts.extent;
    const middle = [(left_mm + right_mm) / 2, (bottom_mm + top_mm) / 2, this._middleDepth()];
    this.camera = new Camera(middle, 1.6 * (top_mm - bottom_mm));
    this.skin = new Solid(gl).put(...this._skin());
    this.line = new Solid(gl);
    this.ball = new Solid(gl).put(...sphere());
    this.picture = gl.createTexture();
    this._listen();
  }

  _middleDepth() {
    let [sum, count] = [0, 0];
    for (let k = 0; k < skin.z.length; k += 7) if (skin.seen[k] > 0.5) { sum += skin.z[k]; count++; }
    return count ? sum / count - 25 : 0;
  }

  _skin() { // two triangles for every square of four seen cells
    const { columns, rows } = skin, { left_mm, right_mm, bottom_mm, top_mm } = facts.extent;
    const positions = new Float32Array(3 * columns * rows), uvs = new Float32Array(2 * columns * rows), faces = [];
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const k = r * columns + c, x = skin.x_mm + c * skin.step_mm, y = skin.y_mm + r * skin.step_mm;
      positions.set([x, y, skin.z[k]], 3 * k);
      uvs.set([(x - left_mm) / (right_mm - left_mm), (top_mm - y) / (top_mm - bottom_mm)], 2 * k);
      const whole = r + 1 < rows && c + 1 < columns && [0, 1, columns, columns + 1].every((step) => skin.seen[k + step] > 0.5);
      if (whole) faces.push(k, k + 1, k + columns + 1, k, k + columns + 1, k + columns);
    }
    const index = new Uint32Array(faces);
    return [positions, index, normalsOf(positions, index), uvs];
  }

  paint() { // the skin as the pictures are blended now
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, blend);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    for (const way of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, way, gl.CLAMP_TO_EDGE);
    this.redraw();
  }

  marksChanged() {
    this.line.put(...tube(curvePoints(4).map(([x, y]) => [x, y, skin.height(x, y) + ON_SKIN_MM]), 1.7));
    this.redraw();
  }

  async loadBones() {
    const buffer = await (await fetch("bones.bin")).arrayBuffer(), length = new DataView(buffer).getUint32(0, true);
    let at = 4 + length;
    this.bones = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))).map(({ rgb, vertices, faces }) => {
      const positions = new Float32Array(buffer, at, 3 * vertices), index = new Uint32Array(buffer, at + 12 * vertices, 3 * faces);
      at += 12 * (vertices + faces);
      return { rgb: rgb.map((value) => value / 255), solid: new Solid(this.gl).put(positions, index) };
    });
    this.redraw();
  }

  redraw() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.draw(); });
  }

  draw() {
    const { gl, canvas, camera } = this, { uniforms } = this.program, dense = devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.useProgram(this.program.handle);
    gl.uniformMatrix4fv(uniforms.clip_from_world, false, camera.clipFromWorld(width / height));
    gl.uniform3fv(uniforms.eye, camera.eye());
    gl.uniform1i(uniforms.picture, 0);
    this._drawBones();
    this._drawMarks();
    this._drawSkin();
    gl.bindVertexArray(null);
  }

  _one(solid, T, colour, gloss = 0, pictured = 0) { // T: 16 numbers, rows
    const { gl } = this, { uniforms } = this.program;
    gl.uniformMatrix4fv(uniforms.world_from_model, true, T);
    gl.uniform4fv(uniforms.colour, colour);
    gl.uniform1f(uniforms.gloss, gloss);
    gl.uniform1f(uniforms.pictured, pictured);
    solid.draw();
  }

  _drawBones() {
    if (!this.bones || !fitted_spine || !layers.spine.on) return;
    this.bones.forEach(({ rgb, solid }, k) => {
      const T = fitted_spine.frames[k].map((value, at) => (at < 12 && at % 4 < 3 ? value * fitted_spine.size : value));
      this._one(solid, T, [...(fitted_spine.stale ? rgb.map((value) => 0.5 * value + 0.38) : rgb), 1], 0.1);
    });
  }

  _drawMarks() {
    const still = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    this._one(this.line, still, [0, 0.384, 0.608, 1], 0.15);
    for (const item of allMarks()) {
      const { mark, key } = item, [x, y, z] = mark.mm, r = (key === "line" ? 3.1 : 5) * (mark.id === chosen ? 1.45 : 1);
      const colour = isChanged(item) ? [0.76, 0.3, 0.02, 1] : isSure(item) ? [0, 0.384, 0.608, 1] : [0.97, 0.98, 1, 1];
      this._one(this.ball, [r, 0, 0, x, 0, r, 0, y, 0, 0, r, z + ON_SKIN_MM, 0, 0, 0, 1], colour, 0.25);
    }
  }

  _drawSkin() {
    const { gl } = this, still = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], see = this.opacity;
    if (see <= 0) return;
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    if (see < 1) { // its nearest sheet only
      gl.colorMask(false, false, false, false);
      this._one(this.skin, still, [1, 1, 1, 1], 0, 1);
      gl.colorMask(true, true, true, true);
      gl.enable(gl.BLEND);
      gl.depthFunc(gl.LEQUAL);
    }
    this._one(this.skin, still, [1, 1, 1, see], 0.03, 1);
    gl.depthFunc(gl.LESS);
    gl.disable(gl.BLEND);
  }

  look(name) {
    [this.camera.azimuth, this.camera.elevation] = LOOKS[name];
    this.camera.target = [...this.camera.home.target];
    this.redraw();
  }

  _listen() {
    const { canvas, camera } = this, held = new Map();
    const on = (type, act, options) => canvas.addEventListener(type, act, options);
    on("pointerdown", (event) => {
      held.set(event.pointerId, [event.clientX, event.clientY, event.button !== 0 || event.shiftKey]);
      try { canvas.setPointerCapture(event.pointerId); } catch { /* a made-up pointer */ }
    });
    on("pointermove", (event) => {
      const was = held.get(event.pointerId);
      if (!was) return;
      const height = canvas.clientHeight || 1, dx = (event.clientX - was[0]) / height, dy = (event.clientY - was[1]) / height;
      const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const before = Math.hypot(was[0] - other[0], was[1] - other[1]), after = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
        camera.pan(dx / 2, -dy / 2);
        if (before > 0 && after > 0) camera.zoom(before / after);
      } else if (was[2]) camera.pan(dx, -dy);
      else camera.turn(dx * Math.PI, dy * Math.PI);
      [was[0], was[1]] = [event.clientX, event.clientY];
      this.redraw();
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) on(type, (event) => held.delete(event.pointerId));
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => { camera.reset(); this.redraw(); });
    on("wheel", (event) => {
      event.preventDefault();
      camera.zoom(Math.exp(Math.min(Math.max(event.deltaY * (event.deltaMode === 1 ? 16 : 1), -300), 300) * 0.0012));
      this.redraw();
    }, { passive: false });
    on("keydown", (event) => {
      const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (way && event.shiftKey) camera.pan(way[0] * 0.04, -way[1] * 0.04);
      else if (way) camera.turn(way[0] * Math.PI / 24, way[1] * Math.PI / 24);
      else if (event.key === "+" || event.key === "=") camera.zoom(1 / 1.12);
      else if (event.key === "-") camera.zoom(1.12);
      else if (event.key === "Home") camera.reset();
      else return;
      event.preventDefault();
      event.stopPropagation();
      this.redraw();
    });
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => location.reload());
  }
}

function openScene() {
  const canvas = find("solid"), gl = canvas.getContext("webgl2", { alpha: true, premultipliedAlpha: true, antialias: true, preserveDrawingBuffer: true });
  find("no-webgl").hidden = Boolean(gl);
  if (!gl) { canvas.hidden = true; return; }
  scene = new Scene(canvas, gl);
  textured.push(() => scene.paint());
  listeners.push(() => scene.marksChanged());
  new ResizeObserver(() => scene.redraw()).observe(canvas);
  find("skin").addEventListener("input", (event) => { scene.opacity = event.target.value / 100; scene.redraw(); });
  for (const button of document.querySelectorAll(".look")) button.addEventListener("click", () => scene.look(button.dataset.look));
}
