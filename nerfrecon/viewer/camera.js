// Cameras as the pictures have them: pose T_world_camera (4 x 4, rows; x right, y down, z forward), focal lengths
// and principal point in pixels, whose centres are whole numbers. Matrices for WebGL are in its column order.
"use strict";

// {T_world_camera, fx, fy, cx, cy, width, height} of the page's address (#camera=JSON); null where there is none.
function cameraFromHash() {
  const found = /[#&]camera=([^&]*)/.exec(location.hash);
  return found ? JSON.parse(decodeURIComponent(found[1])) : null;
}

// The camera of a canvas with this vertical angle of view.
function cameraOfCanvas(T_world_camera, width, height, fov) {
  const f = height / 2 / Math.tan(fov / 2);
  return {T_world_camera, fx: f, fy: f, cx: (width - 1) / 2, cy: (height - 1) / 2, width, height};
}

// World to clip space, near and far being depths along the optical axis.
function clipFromWorld({T_world_camera: T, fx, fy, cx, cy, width, height}, near, far) {
  const sx = 2 * fx / width, ox = (2 * cx + 1) / width - 1;
  const sy = -2 * fy / height, oy = 1 - (2 * cy + 1) / height;
  const a = (far + near) / (far - near), b = -2 * far * near / (far - near);
  const rows = [[sx, 0, ox, 0], [0, sy, oy, 0], [0, 0, a, b], [0, 0, 1, 0]];
  const view = cameraFromWorld(T), out = new Float32Array(16);
  for (let row = 0; row < 4; row++) for (let column = 0; column < 4; column++) {
    let sum = 0;
    for (let k = 0; k < 4; k++) sum += rows[row][k] * view[k][column];
    out[4 * column + row] = sum;
  }
  return out;
}

// The inverse of a rigid pose, rows.
function cameraFromWorld(T) {
  const rows = [0, 1, 2].map((i) => [T[0][i], T[1][i], T[2][i], -(T[0][i] * T[0][3] + T[1][i] * T[1][3] + T[2][i] * T[2][3])]);
  return [...rows, [0, 0, 0, 1]];
}

// Pixel of a point in the world; null behind the camera.
function pixelOf({T_world_camera: T, fx, fy, cx, cy}, point) {
  const view = cameraFromWorld(T).slice(0, 3);
  const [x, y, z] = view.map((row) => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3]);
  return z > 0 ? [fx * x / z + cx, fy * y / z + cy, z] : null;
}
