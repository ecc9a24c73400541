// The page of a baked model: what its buttons and keys do, and how sharp it draws.
// For tests: __setCamera(camera, background) draws exactly what that camera sees, at once, and __count(camera) gives
// steps a ray and texture reads a pixel. #camera=JSON in the address does the first, {T_world_camera, fx, fy, cx, cy,
// width, height} with OpenCV's axes; &background=r,g,b in [0, 1].
"use strict";

const REST_MS = 160, SLOW_MS = 36, QUICK_MS = 19, COARSEST = 0.2; // of frames while it moves; sharpness is by side
const LONGEST_STILL_MS = 1500;

// Rotation from the page's world, y up, to the model's, where `up` is (rows).
function uprightFrom(up) {
  const [x, y, z] = up, s = Math.hypot(x, y, z), u = [x / s, y / s, z / s];
  const helper = Math.abs(u[1]) > 0.9 ? [1, 0, 0] : [0, 1, 0];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  let right = Math.abs(u[1]) > 0.9 ? [1, 0, 0] : cross(helper, u);
  const along = right[0] * u[0] + right[1] * u[1] + right[2] * u[2];
  right = right.map((value, i) => value - along * u[i]);
  const length = Math.hypot(...right);
  right = right.map((value) => value / length);
  const back = cross(right, u);
  return [0, 1, 2].map((row) => [right[row], u[row], back[row]]);
}

// Middle and radius in the world of what the groups of cells hold.
function extentOf({distance, header}) {
  const g = header.resolution / GROUP, low = [g, g, g], high = [0, 0, 0];
  for (let i = 0; i < g ** 3; i++) if (distance[i] === 0) {
    [i % g, Math.floor(i / g) % g, Math.floor(i / g / g)].forEach((at, axis) => {
      low[axis] = Math.min(low[axis], at);
      high[axis] = Math.max(high[axis], at + 1);
    });
  }
  const U = header.T_unit_world, scale = Math.hypot(U[0][0], U[1][0], U[2][0]);
  const middle = [0, 1, 2].map((axis) => (low[axis] + high[axis]) / 2 / g - U[axis][3]);
  const world = [0, 1, 2].map((axis) => (U[0][axis] * middle[0] + U[1][axis] * middle[1] + U[2][axis] * middle[2]) / scale ** 2);
  return {middle: world, radius: Math.hypot(...high.map((value, axis) => value - low[axis])) / 2 / g / scale};
}

async function start() {
  const canvas = element("view");
  const gl = openGl(canvas, {antialias: false, depth: false, preserveDrawingBuffer: true});
  if (!gl) return;
  const bytes = modelBytes(), model = await readBaked(bytes);
  const renderer = new BakedRenderer(gl, model, element("fragment").textContent.trim());
  const {middle, radius} = extentOf(model), upright = uprightFrom(model.header.up);
  sayFigures(figuresOf(model.header, bytes.length));

  let exact = null, isDue = true, isSharp = false, moved = 0, sharpness = 0.5, ground = firstGround();
  const target = [0, 1, 2].map((axis) => upright[0][axis] * middle[0] + upright[1][axis] * middle[1] + upright[2][axis] * middle[2]);
  const controls = new OrbitControls(canvas, {
    target, distance: 1, azimuth: 0.6, elevation: 0.32, fov: FOV, inertia: true,
    onChange: () => { isDue = true; isSharp = false; moved = performance.now(); }, onTouch: () => turnTable(controls, false),
  });

  function fit() {
    const ratio = Math.min(1, canvas.clientWidth / canvas.clientHeight * 1.05);
    const distance = 0.92 * radius / Math.sin(FOV / 2) / ratio;
    controls.stand(distance);
    [controls.nearest, controls.furthest] = [radius * 0.15, distance * 5];
  }

  function lay(on) {
    ground = on;
    mark({ground});
  }

  // The camera of the page's world, in the model's.
  function inModel(T) {
    const rows = upright.map((row) => [0, 1, 2, 3].map((column) => row[0] * T[0][column] + row[1] * T[1][column] + row[2] * T[2][column]));
    return [...rows, [0, 0, 0, 1]];
  }

  function draw(share) {
    const dense = Math.min(window.devicePixelRatio || 1, MOST_DENSE) * share;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * dense)));
    sized(canvas, width, height);
    renderer.draw(cameraOfCanvas(inModel(controls.T_world_camera), width, height, FOV), null);
  }

  function drawExact(camera, background = [1, 1, 1]) {
    exact = [camera, background];
    alone(canvas, camera);
    renderer.draw(camera, background);
  }
  window.__setCamera = drawExact;
  window.__count = (camera) => { const counted = renderer.count(camera); [isDue, isSharp] = [true, false]; return counted; };
  window.__controls = controls;
  window.__sharpness = () => ({moving: sharpness, isSharp});

  let before = performance.now(), paced = 0, hasMoved = false;
  function frame(now) {
    const apart = now - before;
    before = now;
    if (!exact) controls.advance(Math.min(apart / 1000, 0.1));
    const isMoving = controls.spin !== 0 || controls.isHeld || now - moved < REST_MS;
    if (exact) {
      if (isDue) drawExact(...exact);
    } else if (isMoving && isDue) {
      // Frames come when the device is done: slow ones say that it has too many pixels.
      if (hasMoved) paced = paced ? 0.7 * paced + 0.3 * apart : apart;
      if (paced > SLOW_MS) [sharpness, paced] = [Math.max(COARSEST, sharpness * Math.max(0.6, Math.sqrt(SLOW_MS / paced) * 0.95)), 0];
      else if (paced && paced < QUICK_MS && sharpness < 1) [sharpness, paced] = [Math.min(1, sharpness * 1.15), 0];
      draw(sharpness);
      hasMoved = true;
    } else if (!isMoving && !isSharp) {
      draw(Math.min(1, Math.max(sharpness, sharpness * Math.sqrt(LONGEST_STILL_MS / Math.max(paced, QUICK_MS)))));
      [isSharp, hasMoved] = [true, false];
    }
    if (!isMoving) hasMoved = false;
    isDue = false;
    window.__ready = true;
    requestAnimationFrame(frame);
  }

  furnish(controls, (chosen) => lay(chosen.ground), {ground: ["b", () => lay(next(GROUNDS, ground))]});
  document.addEventListener("visibilitychange", () => { before = performance.now(); });
  new ResizeObserver(() => { if (!exact) { fit(); isDue = true; isSharp = false; } }).observe(canvas);

  fit();
  controls.reset();
  lay(ground);
  turnTable(controls, !matches("(prefers-reduced-motion: reduce)"));
  const fromHash = () => {
    const camera = cameraFromHash(), colour = /[#&]background=([^&]*)/.exec(location.hash);
    if (!camera) return;
    drawExact(camera, colour ? decodeURIComponent(colour[1]).split(",").map(Number) : [1, 1, 1]);
  };
  window.addEventListener("hashchange", fromHash);
  fromHash();
  requestAnimationFrame(frame);
}

function figuresOf({resolution, voxels}, byteCount) {
  return [
    ["File", spokenBytes(byteCount)],
    ["Voxels that are stored", `${spokenCount(voxels)} voxels`],
    ["Resolution", `${spokenCount(resolution)}\u00b3 grid`],
  ];
}

start();
