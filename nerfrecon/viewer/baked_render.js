// Draws a baked model: one triangle over the canvas, the march in its fragments.
"use strict";

const OVER = `#version 300 es
void main() { gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1); }`;

class BakedRenderer {
  constructor(gl, model, fragment) {
    Object.assign(this, {gl, model});
    const {resolution, optics, shader} = model.header, [b, g] = [resolution / BLOCK, resolution / GROUP];
    const most = gl.getParameter(gl.MAX_3D_TEXTURE_SIZE);
    if (Math.max(...model.across) * APRON > most || g > most) throw new Error(`this device's volumes end at ${most} texels`);
    const program = this.program = linked(gl, OVER, fragment);
    gl.useProgram(program);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const size = model.across.map((n) => n * APRON);
    const volumes = [
      ["distances", [g, g, g], gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE, model.distance, gl.NEAREST],
      ["slots", [b, b, b], gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, model.slot, gl.NEAREST],
      ["seen", size, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, model.seen, gl.LINEAR],
      ["features", size, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, model.features, gl.LINEAR],
    ];
    volumes.forEach(([name, [w, h, d], inner, format, type, data, filter], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
      gl.texImage3D(gl.TEXTURE_3D, 0, inner, w, h, d, 0, format, type, data);
      for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, key, filter);
      for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, key, gl.CLAMP_TO_EDGE);
      gl.uniform1i(this.place(name), unit);
    });
    if (gl.getError() === gl.OUT_OF_MEMORY) throw new Error("this device has too little graphics memory for the model");
    model.seen = model.features = null; // the device has them
    gl.uniform3iv(this.place("across"), model.across);
    gl.uniform1f(this.place("side"), resolution);
    gl.uniform1f(this.place("stride"), optics.step);
    gl.uniform1f(this.place("stop"), optics.stop);
    gl.uniform1f(this.place("low"), optics.low);
    gl.uniform1f(this.place("span"), optics.high - optics.low);
    ["first", "second", "last"].forEach((name, i) => {
      gl.uniformMatrix4fv(this.place(name), false, tiles(shader[i].weight));
      gl.uniform4fv(this.place(name + "Bias"), i < 2 ? shader[i].bias : [...shader[i].bias, 0]);
    });
    gl.bindVertexArray(gl.createVertexArray());
    gl.disable(gl.BLEND);
  }

  place(name) { return this.gl.getUniformLocation(this.program, name); }

  // `behind` is a colour, or null for what is behind the canvas.
  draw(camera, behind, counting = false) {
    const {gl, model: {header}} = this, U = header.T_unit_world, T = camera.T_world_camera, n = header.resolution;
    const scale = Math.hypot(U[0][0], U[1][0], U[2][0]);
    const product = (row, column) => (U[row][0] * T[0][column] + U[row][1] * T[1][column] + U[row][2] * T[2][column]);
    gl.viewport(0, 0, camera.width, camera.height);
    gl.uniform3fv(this.place("origin"), [0, 1, 2].map((row) => (product(row, 3) + U[row][3]) * n - 0.5));
    gl.uniformMatrix3fv(this.place("turned"), false, [0, 1, 2].flatMap((column) => [0, 1, 2].map((row) => product(row, column) / scale)));
    gl.uniform4f(this.place("lens"), camera.fx, camera.fy, camera.cx, camera.cy);
    gl.uniform1f(this.place("height"), camera.height);
    gl.uniform4fv(this.place("behind"), behind ? [...behind, 1] : [0, 0, 0, 0]);
    gl.uniform1i(this.place("counting"), counting ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // Means over the pixels of a view: steps a ray, texture reads a pixel.
  count(camera) {
    const {gl} = this;
    [gl.canvas.width, gl.canvas.height] = [camera.width, camera.height]; // beyond the canvas nothing is drawn
    this.draw(camera, null, true);
    const bytes = new Uint8Array(4 * camera.width * camera.height);
    gl.readPixels(0, 0, camera.width, camera.height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    let [steps, reads] = [0, 0];
    for (let i = 0; i < bytes.length; i += 4) {
      steps += bytes[i] + 256 * bytes[i + 1];
      reads += bytes[i + 2] + 256 * bytes[i + 3];
    }
    const pixels = camera.width * camera.height;
    return {steps_per_ray: steps / pixels, reads_per_pixel: reads / pixels};
  }
}

// Weights (rows: outputs) as 4 x 4 tiles in WebGL's order of columns; tile 4 i + j takes inputs 4 j .. to outputs 4 i ..
function tiles(weight) {
  const out = [];
  for (let i = 0; i < weight.length; i += 4) for (let j = 0; j < weight[0].length; j += 4)
    for (let column = 0; column < 4; column++) for (let row = 0; row < 4; row++) out.push(weight[i + row]?.[j + column] ?? 0);
  return new Float32Array(out);
}

function linked(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) || "the shader does not compile");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "the shader does not link");
  return program;
}
