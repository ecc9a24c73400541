// Draws a model that readGlb gave, with WebGL2: textured, lit or as clay, with wires, a box and a soft shadow.
"use strict";

const SURFACES = ["photo", "studio", "clay"];

class MeshRenderer {
  // gl: a WebGL2 context. model: of readGlb. pictures: a decoded one an image.
  constructor(gl, model, pictures) {
    this.gl = gl;
    this.model = model;
    this.middle = model.low.map((low, axis) => (low + model.high[axis]) / 2);
    this.size = model.low.map((low, axis) => model.high[axis] - low);
    this.radius = Math.hypot(...this.size) / 2;
    this._surface = program(gl, SURFACE_VERTEX, SURFACE_FRAGMENT);
    this._line = program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this._white = texture(gl, new ImageData(new Uint8ClampedArray([255, 255, 255, 255]), 1, 1), [10497, 10497]);
    const made = new Map();
    this._parts = model.parts.map((part) => {
      const material = model.materials[part.material] ?? {factor: [1, 1, 1, 1], image: -1, cutoff: 0};
      const isTextured = material.image >= 0 && part.uvs !== null;
      const key = `${material.image} ${material.repeat}`;
      if (isTextured && !made.has(key)) made.set(key, texture(gl, pictures[material.image], material.repeat));
      return {
        count: part.count, material, isTextured, texture: isTextured ? made.get(key) : this._white,
        isPlain: !part.colours && material.factor.slice(0, 3).every((value) => value === 1),
        corners: corners(gl, [[part.positions, 3], [part.normals, 3], [part.uvs, 2], [part.colours, 4]]),
      };
    });
    this._parts.sort((a, b) => Number(a.material.isTranslucent ?? false) - Number(b.material.isTranslucent ?? false));
    this._box = corners(gl, [[boxEdges(model.low, model.high), 3]]);
    this._shadow = new GroundShadow(gl, this);
  }

  get isTextured() { return this._parts.some((part) => part.isTextured); }
  get isUnlit() { return this._parts.every((part) => part.material.isUnlit); }
  get textureSizes() { return [...new Set(this._parts.filter((part) => part.isTextured).map((part) => part.texture))].map((one) => one.size); }

  // look: {surface, wire: [r, g, b, strength] or null, linePx, background: [r, g, b] or null, shadow, box: rgba or null}
  draw(camera, look) {
    const {gl} = this, T = camera.T_world_camera, eye = [T[0][3], T[1][3], T[2][3]];
    const depth = [0, 1, 2].reduce((sum, axis) => sum + T[axis][2] * (this.middle[axis] - eye[axis]), 0);
    const reach = look.shadow ? 2.6 * this.radius : 1.01 * this.radius;
    const far = Math.max(depth + reach, 1e-3 * this.radius), near = Math.max(depth - reach, 2e-3 * far);
    const clip = clipFromWorld(camera, near, far);
    const background = look.background ?? [0, 0, 0];
    gl.viewport(0, 0, camera.width, camera.height);
    gl.clearColor(...background, look.background ? 1 : 0);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this._drawSurface(clip, T, eye, look);
    gl.enable(gl.BLEND);
    gl.depthMask(false);
    if (look.shadow && eye[1] > this.model.low[1]) this._shadow.draw(clip, look.shadow);
    if (look.box) this._drawBox(clip, look.box);
    gl.disable(gl.BLEND);
    gl.depthMask(true);
  }

  _drawSurface(clip, T, eye, look) {
    const {gl} = this, {uniforms} = this._surface;
    gl.useProgram(this._surface.handle);
    gl.uniformMatrix4fv(uniforms.clip_from_world, false, clip);
    gl.uniform3fv(uniforms.eye, eye);
    gl.uniform1i(uniforms.surface, SURFACES.indexOf(look.surface));
    gl.uniform4fv(uniforms.wire, look.wire ?? [0, 0, 0, 0]);
    gl.uniform1f(uniforms.line_px, look.linePx ?? 1);
    // Lamps stand still beside the viewer and go round with him: left above, right, behind.
    for (const [name, lamp] of [["key", [-0.55, 0.75, 0.62]], ["fill", [0.85, 0.1, 0.5]], ["rim", [0.25, 0.55, -0.8]]]) {
      gl.uniform3fv(uniforms[name], beside(T, lamp));
    }
    gl.activeTexture(gl.TEXTURE0);
    gl.uniform1i(uniforms.picture, 0);
    for (const part of this._parts) {
      const {material} = part;
      gl.uniform4fv(uniforms.factor, material.factor);
      gl.uniform1f(uniforms.cutoff, material.cutoff);
      gl.uniform1i(uniforms.is_plain, Number(part.isPlain));
      gl.uniform1i(uniforms.is_opaque, Number(!material.isTranslucent && !material.cutoff));
      gl.bindTexture(gl.TEXTURE_2D, part.texture.handle);
      if (material.isTranslucent) gl.enable(gl.BLEND); else gl.disable(gl.BLEND);
      this.drawPart(part);
    }
    gl.disable(gl.BLEND);
  }

  drawPart(part) {
    this.gl.bindVertexArray(part.corners);
    if (!part.isTextured) this.gl.vertexAttrib2f(2, 0, 0);
    this.gl.vertexAttrib4f(3, 1, 1, 1, 1);
    this.gl.drawArrays(this.gl.TRIANGLES, 0, part.count);
  }

  drawAll() { for (const part of this._parts) this.drawPart(part); }

  _drawBox(clip, colour) {
    const {gl} = this;
    gl.useProgram(this._line.handle);
    gl.uniformMatrix4fv(this._line.uniforms.clip_from_world, false, clip);
    gl.uniform4fv(this._line.uniforms.colour, colour);
    gl.bindVertexArray(this._box);
    gl.drawArrays(gl.LINES, 0, 24);
  }
}

// What lies under the object is darker the nearer it is: drawn once, from below, and blurred.
class GroundShadow {
  static SIDE_PX = 256;

  constructor(gl, renderer) {
    this.gl = gl;
    const {middle, size, model} = renderer, half = 0.95 * Math.max(size[0], size[2]) + 0.25 * size[1];
    this.square = [middle[0], middle[2], half, model.low[1]];
    this._ground = program(gl, GROUND_VERTEX, GROUND_FRAGMENT);
    this._none = gl.createVertexArray();
    const side = GroundShadow.SIDE_PX;
    const pictures = [0, 1].map(() => target(gl, side));
    const underside = program(gl, UNDERSIDE_VERTEX, UNDERSIDE_FRAGMENT), blur = program(gl, SCREEN_VERTEX, BLUR_FRAGMENT);
    const depth = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT16, side, side);
    gl.bindFramebuffer(gl.FRAMEBUFFER, pictures[0].frame);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    gl.viewport(0, 0, side, side);
    gl.clearColor(0, 0, 0, 1);
    gl.enable(gl.DEPTH_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(underside.handle);
    gl.uniform4fv(underside.uniforms.square, this.square);
    gl.uniform1f(underside.uniforms.height, Math.max(size[1], 1e-6 * half) * 1.001);
    renderer.drawAll();
    gl.disable(gl.DEPTH_TEST);
    gl.useProgram(blur.handle);
    gl.bindVertexArray(this._none);
    for (const [from, to, way] of [[0, 1, [1 / side, 0]], [1, 0, [0, 1 / side]]]) {
      gl.bindFramebuffer(gl.FRAMEBUFFER, pictures[to].frame);
      gl.bindTexture(gl.TEXTURE_2D, pictures[from].texture);
      gl.uniform2fv(blur.uniforms.way, way);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this._picture = pictures[0].texture;
  }

  draw(clip, strength) {
    const {gl} = this, {uniforms} = this._ground;
    gl.useProgram(this._ground.handle);
    gl.uniformMatrix4fv(uniforms.clip_from_world, false, clip);
    gl.uniform4fv(uniforms.square, this.square);
    gl.uniform1f(uniforms.strength, strength);
    gl.bindTexture(gl.TEXTURE_2D, this._picture);
    gl.bindVertexArray(this._none);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

// A direction (right, up, towards the viewer) as the camera has turned about the vertical, unit length.
function beside(T, [right, up, near]) {
  const flat = Math.hypot(T[0][0], T[2][0]) || 1, x = T[0][0] / flat, z = T[2][0] / flat;
  const out = [right * x - near * z, up, right * z + near * x], length = Math.hypot(...out);
  return out.map((value) => value / length);
}

function boxEdges(low, high) {
  const at = (i) => [0, 1, 2].map((axis) => (i >> axis & 1 ? high : low)[axis]);
  const edges = [];
  for (let i = 0; i < 8; i++) for (let axis = 0; axis < 3; axis++) if (!(i >> axis & 1)) edges.push(...at(i), ...at(i | 1 << axis));
  return new Float32Array(edges);
}

function program(gl, vertex, fragment) {
  const handle = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
  }
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(handle).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`the graphics driver refuses a shader: ${[...logs, gl.getProgramInfoLog(handle)].join(" ").trim()}`);
  }
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); i++) {
    const {name} = gl.getActiveUniform(handle, i);
    uniforms[name] = gl.getUniformLocation(handle, name);
  }
  return {handle, uniforms};
}

// Attributes 0, 1, ... from [numbers or null, how many a corner].
function corners(gl, arrays) {
  const handle = gl.createVertexArray();
  gl.bindVertexArray(handle);
  arrays.forEach(([numbers, width], location) => {
    if (!numbers) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(location);
    gl.vertexAttribPointer(location, width, gl.FLOAT, false, 0, 0);
  });
  return handle;
}

function texture(gl, picture, [repeatS, repeatT]) {
  const handle = gl.createTexture(), sharp = gl.getExtension("EXT_texture_filter_anisotropic");
  gl.bindTexture(gl.TEXTURE_2D, handle);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, repeatS);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, repeatT);
  if (sharp) gl.texParameterf(gl.TEXTURE_2D, sharp.TEXTURE_MAX_ANISOTROPY_EXT, Math.min(16, gl.getParameter(sharp.MAX_TEXTURE_MAX_ANISOTROPY_EXT)));
  return {handle, size: [picture.width, picture.height]};
}

function target(gl, side) {
  const picture = gl.createTexture(), frame = gl.createFramebuffer();
  gl.bindTexture(gl.TEXTURE_2D, picture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, side, side);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture, 0);
  return {texture: picture, frame};
}
