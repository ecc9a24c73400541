// Small parts of the 3D view: shaders, meshes with normals, spheres and tubes, a camera that turns about a point.
const SHADED = `
vec3 shaded(vec3 colour, vec3 normal, vec3 to_eye, float gloss) {
  vec3 n = normalize(dot(normal, to_eye) < 0.0 ? -normal : normal), right = normalize(cross(vec3(0, 1, 0), to_eye)), up = cross(to_eye, right);
  float key = max(dot(n, normalize(to_eye * 0.75 - right * 0.55 + up * 0.6)), 0.0), fill = max(dot(n, normalize(to_eye * 0.6 + right * 0.8)), 0.0);
  float shine = pow(max(dot(n, normalize(to_eye * 1.6 - right * 0.5 + up * 0.55)), 0.0), 40.0);
  return colour * (0.42 + 0.56 * key + 0.2 * fill) + gloss * shine;
}`;
const VERTEX = `#version 300 es
layout(location = 0) in vec3 position; layout(location = 1) in vec3 normal; layout(location = 2) in vec2 at;
uniform mat4 clip_from_world, world_from_model; out vec3 world, direction; out vec2 uv;
void main() {
  world = (world_from_model * vec4(position, 1.0)).xyz;
  direction = mat3(world_from_model) * normal; uv = at;
  gl_Position = clip_from_world * vec4(world, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float; in vec3 world, direction; in vec2 uv; out vec4 seen;
uniform vec3 eye; uniform vec4 colour; uniform float pictured, gloss; uniform sampler2D picture;
${SHADED}
void main() {
  vec3 own = pictured > 0.5 ? texture(picture, uv).rgb : colour.rgb, lit = shaded(own, normalize(direction), normalize(eye - world), gloss);
  seen = vec4(pictured > 0.5 ? mix(own, lit, 0.45) : lit, 1.0) * colour.a; // the relief has lit the picture already
}`;

function program(gl) {
  const handle = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
  }
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(handle));
  const uniforms = {};
  for (let k = 0; k < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); k++) {
    const { name } = gl.getActiveUniform(handle, k);
    uniforms[name] = gl.getUniformLocation(handle, name);
  }
  return { handle, uniforms };
}

class Solid { // a mesh on the graphics card; `put` again where it changes
  constructor(gl) { this.gl = gl; this.array = gl.createVertexArray(); this.buffers = [0, 1, 2, 3].map(() => gl.createBuffer()); this.count = 0; }

  put(positions, faces, normals = normalsOf(positions, faces), uvs = null) {
    const { gl } = this;
    gl.bindVertexArray(this.array);
    [[positions, 3], [normals, 3], [uvs, 2]].forEach(([numbers, width], location) => {
      if (!numbers) return;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[location]);
      gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, width, gl.FLOAT, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers[3]);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.DYNAMIC_DRAW);
    gl.bindVertexArray(null);
    this.count = faces.length;
    return this;
  }

  draw() {
    const { gl } = this;
    if (!this.count) return;
    gl.bindVertexArray(this.array);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
  }
}

function normalsOf(positions, faces) {
  const out = new Float32Array(positions.length);
  for (let k = 0; k < faces.length; k += 3) {
    const [a, b, c] = [3 * faces[k], 3 * faces[k + 1], 3 * faces[k + 2]], u = [0, 0, 0], v = [0, 0, 0];
    for (let axis = 0; axis < 3; axis++) { u[axis] = positions[b + axis] - positions[a + axis]; v[axis] = positions[c + axis] - positions[a + axis]; }
    for (let axis = 0; axis < 3; axis++) {
      const [i, j] = [(axis + 1) % 3, (axis + 2) % 3], value = u[i] * v[j] - u[j] * v[i];
      out[a + axis] += value; out[b + axis] += value; out[c + axis] += value;
    }
  }
  return out;
}

function sphere(rings = 10, sides = 16) {
  const positions = [], faces = [];
  for (let r = 0; r <= rings; r++) for (let s = 0; s <= sides; s++) {
    const polar = Math.PI * r / rings, around = 2 * Math.PI * s / sides;
    positions.push(Math.sin(polar) * Math.cos(around), Math.cos(polar), Math.sin(polar) * Math.sin(around));
    if (r < rings && s < sides) { const a = r * (sides + 1) + s, b = a + sides + 1; faces.push(a, a + 1, b, b, a + 1, b + 1); }
  }
  return [new Float32Array(positions), new Uint32Array(faces), new Float32Array(positions)];
}

function tube(points, radius, sides = 8) { // along points that run mostly up and down
  const positions = [], faces = [], normals = [];
  points.forEach(([x, y, z], k) => {
    for (let s = 0; s < sides; s++) {
      const [c, n] = [Math.cos(2 * Math.PI * s / sides), Math.sin(2 * Math.PI * s / sides)];
      positions.push(x + radius * c, y, z + radius * n);
      normals.push(c, 0, n);
      if (k + 1 < points.length) { const a = k * sides + s, b = k * sides + (s + 1) % sides; faces.push(a, b, a + sides, a + sides, b, b + sides); }
    }
  });
  return [new Float32Array(positions), new Uint32Array(faces), new Float32Array(normals)];
}

const LOOKS = { back: [0, 0], oblique: [0.62, 0.16], side: [Math.PI / 2, 0], top: [0, 1.5] };

class Camera { // looks from +z at azimuth 0; y up
  constructor(target, distance) { this.home = { target, distance }; this.reset(); }

  reset() { Object.assign(this, { target: [...this.home.target], distance: this.home.distance, azimuth: LOOKS.oblique[0], elevation: LOOKS.oblique[1] }); }

  axes() { // right, up, backwards
    const [sa, ca, se, ce] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
    return [[ca, 0, -sa], [-sa * se, ce, -ca * se], [sa * ce, se, ca * ce]];
  }

  eye() { const [, , back] = this.axes(); return this.target.map((value, axis) => value + this.distance * back[axis]); }

  turn(right, up) {
    this.azimuth -= right;
    this.elevation = Math.min(Math.max(this.elevation + up, -1.55), 1.55);
  }

  pan(right, up) { // in shares of the height
    const [x, y] = this.axes(), span = 0.66 * this.distance;
    for (let axis = 0; axis < 3; axis++) this.target[axis] -= span * (right * x[axis] + up * y[axis]);
  }

  zoom(times) { this.distance = Math.min(Math.max(this.distance * times, this.home.distance / 8), this.home.distance * 3); }

  clipFromWorld(aspect) { // columns
    const rows = this.axes(), eye = this.eye(), f = 1 / Math.tan(0.32), near = this.distance * 0.05, far = this.distance * 4;
    const a = (far + near) / (near - far), b = 2 * far * near / (near - far), out = new Float32Array(16);
    const seen = rows.map((row) => [...row, -(row[0] * eye[0] + row[1] * eye[1] + row[2] * eye[2])]);
    const fit = Math.min(1.45 * aspect, 1); // a narrow window sees as much to its sides
    for (let k = 0; k < 4; k++) {
      out[4 * k] = f * fit / aspect * seen[0][k];
      out[4 * k + 1] = f * fit * seen[1][k];
      out[4 * k + 2] = a * seen[2][k] + (k === 3 ? b : 0);
      out[4 * k + 3] = -seen[2][k];
    }
    return out;
  }
}
