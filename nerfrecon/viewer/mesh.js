// The page of a mesh: what its buttons and keys do, and when it draws.
// For tests: __setCamera(camera, look) draws exactly what that camera sees, at once; so does
// #camera=JSON in the address, {T_world_camera, fx, fy, cx, cy, width, height} with OpenCV's axes.
"use strict";

const facts = JSON.parse(element("facts").textContent);
const wires = {paper: [0.05, 0.13, 0.2, 0.8], white: [0.05, 0.13, 0.2, 0.8], slate: [0.9, 0.95, 1, 0.75], night: [0.45, 0.75, 0.95, 0.75]};

// Pictures ready for the graphics processor, made smaller where it does not take them as they are.
async function decoded(images, most) {
  return Promise.all(images.map(async ({bytes, type}) => {
    const picture = new Image();
    picture.src = URL.createObjectURL(new Blob([bytes], {type}));
    await picture.decode().catch(() => { throw new Error(`its texture (${type || "of unknown kind"}) cannot be decoded`); });
    URL.revokeObjectURL(picture.src);
    const share = most / Math.max(picture.width, picture.height);
    if (share >= 1) return picture;
    const smaller = new OffscreenCanvas(Math.round(picture.width * share), Math.round(picture.height * share));
    smaller.getContext("2d").drawImage(picture, 0, 0, smaller.width, smaller.height);
    return smaller;
  }));
}

// A length for people: metres where the model's unit is the metre.
function spoken(lengths) {
  if (!facts.metric) return `${lengths.map((one) => one.toPrecision(3)).join(" × ")} units`;
  const most = Math.max(...lengths);
  const [times, unit] = most >= 1 ? [1, "m"] : most >= 0.01 ? [100, "cm"] : [1000, "mm"];
  const digits = most * times >= 100 ? 0 : most * times >= 10 ? 1 : 2;
  return `${lengths.map((one) => (one * times).toFixed(digits)).join(" × ")} ${unit}`;
}

function saveModel(bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: "model/gltf-binary"}));
  link.download = facts.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function start() {
  const bytes = modelBytes(), canvas = element("view");
  element("download").addEventListener("click", () => saveModel(bytes));
  const gl = openGl(canvas, {antialias: true}, " The model can be downloaded all the same.");
  if (!gl) return;
  const model = readGlb(bytes);
  const renderer = new MeshRenderer(gl, model, await decoded(model.images, gl.getParameter(gl.MAX_TEXTURE_SIZE)));
  sayFigures(figuresOf(renderer, bytes.length));

  const state = {surface: renderer.isTextured ? "photo" : "studio", wire: false, size: false, ground: firstGround()};
  let isDue = true, exact = null;
  const controls = new OrbitControls(canvas, {
    target: renderer.middle, distance: 1, azimuth: 0.6, elevation: 0.32, fov: FOV,
    onChange: () => { isDue = true; }, onTouch: () => turnTable(controls, false),
  });

  // Where nothing lies over the picture: its top and bottom, in shares of the height.
  function freeRows() {
    const top = document.querySelector(".top > div").getBoundingClientRect().bottom, height = canvas.clientHeight;
    const bottom = element("bar").getBoundingClientRect().top;
    return bottom - top > 0.3 * height ? [Math.min(top, 0.1 * height) / height, bottom / height] : [0, 1];
  }

  function fit() {
    const [top, bottom] = freeRows();
    const ratio = Math.min(bottom - top, 0.95 * canvas.clientWidth / canvas.clientHeight);
    const distance = 0.85 * renderer.radius / Math.sin(FOV / 2) / ratio;
    controls.stand(distance);
    [controls.nearest, controls.furthest] = [renderer.radius * 0.15, distance * 5];
  }

  function show(changes) {
    Object.assign(state, changes);
    for (const [id, on] of [["wire", state.wire], ["size", state.size]]) element(id).setAttribute("aria-pressed", String(on));
    mark({surface: state.surface, ground: state.ground});
    isDue = true;
  }

  function draw() {
    const dense = Math.min(window.devicePixelRatio || 1, MOST_DENSE);
    const width = Math.max(1, Math.round(canvas.clientWidth * dense)), height = Math.max(1, Math.round(canvas.clientHeight * dense));
    sized(canvas, width, height);
    const camera = cameraOfCanvas(controls.T_world_camera, width, height, FOV), [top, bottom] = freeRows();
    camera.cy += (top + bottom - 1) / 2 * height;
    const isDark = state.ground === "slate" || state.ground === "night";
    const ink = isDark ? [1, 1, 1, 0.55] : [0.1, 0.18, 0.25, 0.5];
    renderer.draw(camera, {
      surface: state.surface, wire: state.wire ? wires[state.ground] : null, linePx: dense,
      background: null, shadow: isDark ? 1.5 : 1, box: state.size ? ink : null,
    });
    labelSizes(renderer, camera, dense, state.size);
  }

  function drawExact(camera, look = {}) {
    exact = [camera, look];
    alone(canvas, camera);
    renderer.draw(camera, {surface: "photo", wire: null, background: [1, 1, 1], shadow: 0, box: null, ...look});
  }
  window.__setCamera = drawExact;
  window.__controls = controls;

  let before = performance.now();
  function frame(now) {
    const seconds = Math.min((now - before) / 1000, 0.1);
    before = now;
    if (!exact) controls.advance(seconds);
    if (isDue) {
      isDue = false;
      if (exact) drawExact(...exact); else draw();
      window.__ready = true;
    }
    requestAnimationFrame(frame);
  }

  furnish(controls, show, {
    wire: ["w", () => show({wire: !state.wire})],
    size: ["m", () => show({size: !state.size})],
    light: ["l", () => show({surface: next(SURFACES, state.surface)})],
    ground: ["b", () => show({ground: next(GROUNDS, state.ground)})],
  });
  window.addEventListener("hashchange", () => { const camera = cameraFromHash(); if (camera) drawExact(camera); });
  document.addEventListener("visibilitychange", () => { before = performance.now(); });
  new ResizeObserver(() => { fit(); isDue = true; }).observe(canvas);

  show({});
  fit();
  controls.reset();
  turnTable(controls, !matches("(prefers-reduced-motion: reduce)"));
  const asked = cameraFromHash();
  if (asked) drawExact(asked);
  requestAnimationFrame(frame);
}

function figuresOf({model, size, textureSizes}, byteCount) {
  const textures = textureSizes.map(([w, h]) => (w === h ? `${w}` : `${w} × ${h}`)).join(", ");
  return [
    ["Size, wide by high by deep", spoken([size[0], size[1], size[2]])],
    ["Faces", `${spokenCount(model.faces)} faces`],
    ["Texture", textures ? `${textures} px texture` : "no texture"],
    ["File", spokenBytes(byteCount)],
  ];
}

// Width, height and depth beside the box's edges that lie outermost.
function labelSizes(renderer, camera, dense, isWanted) {
  const place = element("labels");
  place.hidden = !isWanted;
  if (!isWanted) return;
  const {low, high} = renderer.model, middle = pixelOf(camera, renderer.middle);
  while (place.children.length < 3) place.append(Object.assign(document.createElement("span"), {className: "measure"}));
  [0, 1, 2].forEach((axis) => {
    const [b, c] = [(axis + 1) % 3, (axis + 2) % 3];
    let best = null;
    for (const atB of [low, high]) for (const atC of [low, high]) {
      const point = [];
      [point[axis], point[b], point[c]] = [(low[axis] + high[axis]) / 2, atB[b], atC[c]];
      const pixel = pixelOf(camera, point);
      if (!pixel || !middle) continue;
      const away = axis === 1 ? Math.abs(pixel[0] - middle[0]) : pixel[1] - middle[1]; // heights at a side, the others below
      if (!best || away > best.away) best = {away, pixel};
    }
    const label = place.children[axis];
    label.hidden = !best;
    if (!best) return;
    label.textContent = spoken([high[axis] - low[axis]]);
    const [x, y] = [best.pixel[0] / dense, best.pixel[1] / dense];
    label.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -50%)`;
  });
}

start();
