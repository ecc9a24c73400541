// The page of a mesh: what its buttons and keys do, and when it draws.
// For tests: __ready, __errors, __setCamera(camera, look) draws exactly what that camera sees, at once; so does
// #camera=JSON in the address, {T_world_camera, fx, fy, cx, cy, width, height} with OpenCV's axes.
"use strict";

window.__ready = false;
window.__errors = [];
window.addEventListener("error", (event) => { window.__errors.push(event.message); tell("This model cannot be shown", event.message); });
window.addEventListener("unhandledrejection", (event) => {
  window.__errors.push(String(event.reason));
  tell("This model cannot be shown", event.reason?.message ?? String(event.reason));
});

const FOV = Math.PI / 6.5, TURN_S = 24, MOST_DENSE = 2;
const element = (id) => document.getElementById(id);
const facts = JSON.parse(element("facts").textContent);
const wires = {paper: [0.05, 0.13, 0.2, 0.8], white: [0.05, 0.13, 0.2, 0.8], slate: [0.9, 0.95, 1, 0.75], night: [0.45, 0.75, 0.95, 0.75]};

function tell(title, text) {
  const place = element("trouble");
  place.querySelector("strong").textContent = title;
  place.querySelector("span").textContent = text;
  place.hidden = false;
  element("waiting").hidden = true;
}

function modelBytes() {
  const text = element("model").textContent;
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

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

function spokenBytes(count) {
  return count >= 1e6 ? `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} MB` : `${Math.max(1, Math.round(count / 1e3))} kB`;
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
  const gl = canvas.getContext("webgl2", {antialias: true, alpha: true, premultipliedAlpha: true});
  if (!gl) {
    tell("This browser shows no 3D", "The page needs WebGL 2: update the browser, or switch on its hardware acceleration. The model can be downloaded all the same.");
    return;
  }
  canvas.addEventListener("webglcontextlost", () => tell("The graphics processor gave up", "Load the page again."));
  const model = readGlb(bytes);
  const renderer = new MeshRenderer(gl, model, await decoded(model.images, gl.getParameter(gl.MAX_TEXTURE_SIZE)));
  sayFigures(renderer, bytes.length);

  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const state = {surface: renderer.isTextured ? "photo" : "studio", wire: false, size: false, ground: dark ? "night" : "paper"};
  let isDue = true, exact = null;
  const controls = new OrbitControls(canvas, {
    target: renderer.middle, distance: 1, azimuth: 0.6, elevation: 0.32, fov: FOV,
    onChange: () => { isDue = true; }, onTouch: () => turnTable(false),
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
    controls.distance *= distance / controls.home.distance; // a window of another shape shows as much of it
    controls.home.distance = distance;
    [controls.nearest, controls.furthest] = [renderer.radius * 0.15, distance * 5];
  }

  function turnTable(on) {
    controls.spin = on ? 2 * Math.PI / TURN_S : 0;
    element("turn").setAttribute("aria-pressed", String(on));
  }

  function show(changes) {
    Object.assign(state, changes);
    document.documentElement.dataset.ground = state.ground;
    for (const [id, on] of [["wire", state.wire], ["size", state.size]]) element(id).setAttribute("aria-pressed", String(on));
    for (const kind of ["surface", "ground"]) for (const button of document.querySelectorAll(`button[data-${kind}]`)) {
      const isChosen = button.dataset[kind] === state[kind];
      button.setAttribute("aria-checked", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1; // one stop for the tabulator; arrows go on from there
    }
    isDue = true;
  }

  function draw() {
    const dense = Math.min(window.devicePixelRatio || 1, MOST_DENSE);
    const width = Math.max(1, Math.round(canvas.clientWidth * dense)), height = Math.max(1, Math.round(canvas.clientHeight * dense));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
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
    document.body.classList.add("exact");
    [canvas.width, canvas.height] = [camera.width, camera.height];
    [canvas.style.width, canvas.style.height] = [`${camera.width}px`, `${camera.height}px`];
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

  const cycle = (all, now) => all[(all.indexOf(now) + 1) % all.length];
  const acts = {
    t: () => turnTable(!controls.spin),
    w: () => show({wire: !state.wire}),
    m: () => show({size: !state.size}),
    l: () => show({surface: cycle(SURFACES, state.surface)}),
    b: () => show({ground: cycle(Object.keys(wires), state.ground)}),
    r: () => controls.reset(),
  };
  for (const [id, key] of [["turn", "t"], ["wire", "w"], ["size", "m"], ["reset", "r"]]) element(id).addEventListener("click", acts[key]);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape") element("help").open = false;
    if (!event.ctrlKey && !event.metaKey && !event.altKey) acts[event.key.toLowerCase()]?.();
  });
  for (const group of document.querySelectorAll("[role=radiogroup]")) {
    const buttons = [...group.querySelectorAll("button")];
    const choose = (button) => { show({...button.dataset}); button.focus({preventScroll: true}); };
    for (const button of buttons) button.addEventListener("click", () => choose(button));
    group.addEventListener("keydown", (event) => {
      const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!way) return;
      event.preventDefault();
      choose(buttons[(buttons.indexOf(document.activeElement) + way + buttons.length) % buttons.length]);
    });
  }
  window.addEventListener("hashchange", () => { const camera = cameraFromHash(); if (camera) drawExact(camera); });
  document.addEventListener("visibilitychange", () => { before = performance.now(); });
  new ResizeObserver(() => { fit(); isDue = true; }).observe(canvas);

  element("waiting").hidden = true;
  element("bar").hidden = false;
  show({});
  fit();
  controls.reset();
  turnTable(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  const asked = cameraFromHash();
  if (asked) drawExact(asked);
  requestAnimationFrame(frame);
}

function sayFigures(renderer, byteCount) {
  const {model, size, textureSizes} = renderer, number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
  const rows = [
    ["Size, wide by high by deep", spoken([size[0], size[1], size[2]])],
    ["Faces", `${number(model.faces)} faces`],
    ["Texture", textureSizes.length ? `${textureSizes.map(([w, h]) => (w === h ? `${w}` : `${w} × ${h}`)).join(", ")} px texture` : "no texture"],
    ["File", spokenBytes(byteCount)],
  ];
  element("figures").replaceChildren(...rows.flatMap(([name, value]) => ["dt", "dd"].map((kind, i) => {
    const cell = document.createElement(kind);
    cell.textContent = i ? value : name;
    return cell;
  })));
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
