// The back from behind: pictures laid over one another, ruler, line and fitted spine on a canvas that zooms and pans.
// Millimetres of the frame shown: x right, y up. Pixels are CSS pixels from the canvas' upper left corner.
const LAYERS = [ // name, title, opacity at the start, where it is on at the start
  ["colour", "Colour", 1, true], ["curvature", "Curvature", 0.6, false], ["relief", "Relief", 1, true], ["spine", "Spine", 0.9, true],
];
const layers = {}; // name -> {on, opacity, image}
const view = { canvas: find("picture"), scale: 1, x: 0, y: 0, width: 1, height: 1, fitted: true, dirty: true };
const blend = document.createElement("canvas"); // the pictures, blended, in their own pixels; also the skin of the 3D view
let fitted_spine = null; // {frames, size, half_width_mm, stale}
const textured = []; // called when the blend is another

const toPx = ([x, y]) => [view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale];
const toMm = ([px, py]) => [view.x + (px - view.width / 2) / view.scale, view.y - (py - view.height / 2) / view.scale];

async function loadPictures() {
  await Promise.all(LAYERS.map(async ([name, , opacity, on]) => {
    const layer = layers[name] = { on, opacity, image: null };
    if (!facts.pictures.includes(name)) return;
    layer.image = new Image();
    layer.image.src = `${name}.png`;
    await layer.image.decode();
  }));
  blend.width = layers.relief.image.naturalWidth;
  blend.height = layers.relief.image.naturalHeight;
  if (!layers.colour.image) layers.curvature.on = true;
  else layers.relief.opacity = 0.4; // colours bring light of their own
}

function blendPictures() { // colour, curvature over it, both lit by the relief
  const pen = blend.getContext("2d");
  pen.globalCompositeOperation = "source-over";
  pen.globalAlpha = 1;
  pen.clearRect(0, 0, blend.width, blend.height);
  pen.drawImage(layers.relief.image, 0, 0);
  pen.globalCompositeOperation = "source-atop"; // the shape of the back, white
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, blend.width, blend.height);
  for (const [name, mode] of [["colour", "source-atop"], ["curvature", "source-atop"], ["relief", "multiply"]]) {
    const { on, opacity, image } = layers[name];
    if (!on || !image) continue;
    pen.globalCompositeOperation = mode;
    pen.globalAlpha = opacity;
    pen.drawImage(image, 0, 0);
  }
  pen.globalCompositeOperation = "destination-in"; // multiplying adds half-seen edges
  pen.globalAlpha = 1;
  pen.drawImage(layers.relief.image, 0, 0);
  for (const tell of textured) tell();
  redraw();
}

function showWhole() {
  const { left_mm, right_mm, bottom_mm, top_mm } = facts.extent;
  view.scale = Math.min((view.width - 90) / (right_mm - left_mm), (view.height - 84) / (top_mm - bottom_mm));
  view.x = (left_mm + right_mm) / 2 - 18 / view.scale;
  view.y = (bottom_mm + top_mm) / 2 - 20 / view.scale;
  view.fitted = true;
  redraw();
}

function zoomAt(times, px = [view.width / 2, view.height / 2]) { // what is under px stays there
  const [x, y] = toMm(px);
  view.scale = Math.min(Math.max(view.scale * times, 0.3), 40);
  view.x = x - (px[0] - view.width / 2) / view.scale;
  view.y = y + (px[1] - view.height / 2) / view.scale;
  view.fitted = false;
  redraw();
}

function panBy(dx, dy) {
  view.x -= dx / view.scale;
  view.y += dy / view.scale;
  view.fitted = false;
  redraw();
}

function redraw() {
  if (view.dirty) return;
  view.dirty = true;
  requestAnimationFrame(() => { view.dirty = false; drawView(); placeHandles(); });
}

function resizeView() {
  const box = view.canvas.getBoundingClientRect(), dense = devicePixelRatio || 1;
  if (!box.width || !box.height) return;
  [view.width, view.height] = [box.width, box.height];
  view.canvas.width = Math.round(box.width * dense);
  view.canvas.height = Math.round(box.height * dense);
  if (view.fitted) showWhole(); else redraw();
}

function drawView() {
  const pen = view.canvas.getContext("2d"), { left_mm, right_mm, bottom_mm, top_mm } = facts.extent;
  pen.setTransform(view.canvas.width / view.width, 0, 0, view.canvas.height / view.height, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  const [x0, y0] = toPx([left_mm, top_mm]), [x1, y1] = toPx([right_mm, bottom_mm]);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(blend, x0, y0, x1 - x0, y1 - y0);
  if (layers.spine.on && fitted_spine) drawSpine(pen);
  drawChord(pen);
  drawLine(pen);
  drawTrails(pen);
  drawPins(pen);
  drawRuler(pen);
}

function trace(pen, points) {
  pen.beginPath();
  points.forEach((point, k) => (k ? pen.lineTo(...toPx(point)) : pen.moveTo(...toPx(point))));
}

function drawChord(pen) { // the straight line from the base to VP, by which sideways is told
  if (!doc.vp) return;
  trace(pen, [baseMm(), doc.vp.mm]);
  Object.assign(pen, { lineWidth: 1, strokeStyle: "rgb(30 40 51 / 38%)" });
  pen.setLineDash([2, 5]);
  pen.stroke();
  pen.setLineDash([]);
}

function curvePoints(step_mm = 2) {
  const curve = lineCurve(doc.line);
  if (!curve) return [];
  const n = Math.max(2, Math.ceil((curve.high - curve.low) / step_mm));
  return Array.from({ length: n + 1 }, (_, k) => { const y = curve.high - (curve.high - curve.low) * k / n; return [curve.at(y), y]; });
}

function drawLine(pen) {
  const points = curvePoints();
  if (!points.length) return;
  pen.lineJoin = pen.lineCap = "round";
  trace(pen, points);
  Object.assign(pen, { lineWidth: 5, strokeStyle: "rgb(255 255 255 / 80%)" });
  pen.stroke();
  Object.assign(pen, { lineWidth: 2.4, strokeStyle: "#00629b" });
  if (doc.line_state === "found") pen.setLineDash([7, 5]);
  pen.stroke();
  pen.setLineDash([]);
}

const BESIDE = { vp: [0, -36], base: [0, 36], dimple_left: [-32, 22], dimple_right: [32, 22] }; // px from a landmark to its handle

function drawPins(pen) { // exactly where the landmarks are, and which handle is whose
  for (const item of allMarks()) {
    const beside = BESIDE[item.key];
    if (!beside) continue;
    const [px, py] = toPx(item.mark.mm), colour = isChanged(item) ? "#b34700" : "#00629b";
    for (const [width, ink] of [[4.5, "rgb(255 255 255 / 85%)"], [1.8, colour]]) {
      Object.assign(pen, { lineWidth: width, strokeStyle: ink, lineCap: "round" });
      pen.beginPath();
      pen.moveTo(px + 0.75 * beside[0], py + 0.75 * beside[1]);
      pen.lineTo(px + 0.2 * beside[0], py + 0.2 * beside[1]);
      pen.moveTo(px + 6, py);
      pen.arc(px, py, 6, 0, 7);
      pen.stroke();
    }
    pen.beginPath();
    pen.arc(px, py, 2, 0, 7);
    pen.fillStyle = colour;
    pen.fill();
  }
}

function drawTrails(pen) { // from where a mark stood to where it is
  for (const { mark } of allMarks()) {
    if (!hasMoved(mark)) continue;
    trace(pen, [mark.was, mark.mm]);
    Object.assign(pen, { lineWidth: 1.6, strokeStyle: "#b34700" });
    pen.stroke();
    pen.beginPath();
    pen.arc(...toPx(mark.was), 4, 0, 7);
    pen.fillStyle = "#fff";
    pen.fill();
    pen.stroke();
  }
}

function drawSpine(pen) { // bodies of the vertebrae as seen from behind, and how sure their place is
  const { frames, size, half_width_mm, stale } = fitted_spine, at = (T, x, y) => [T[0] * x + T[1] * y + T[3], T[4] * x + T[5] * y + T[7]];
  pen.save();
  pen.globalAlpha = layers.spine.opacity * (stale ? 0.45 : 1);
  pen.lineJoin = "round";
  pen.font = "600 10px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  facts.levels.forEach((level, k) => {
    const body = facts.bodies[k], T = frames[k];
    if (!body || "C1 C2 C3 C4 C5 C6".includes(level)) return;
    const [upper, lower, height, middle] = body.map((mm) => mm * size), [r, g, b] = facts.region_rgb[level[0]];
    trace(pen, [at(T, -upper / 2, middle + height / 2), at(T, upper / 2, middle + height / 2), at(T, lower / 2, middle - height / 2), at(T, -lower / 2, middle - height / 2)]);
    pen.closePath();
    pen.fillStyle = `rgb(${r} ${g} ${b} / 62%)`;
    pen.fill();
    Object.assign(pen, { lineWidth: 1.3, strokeStyle: "rgb(60 46 30 / 85%)" });
    pen.stroke();
    const [x, y] = [T[3], T[7]], half = half_width_mm[k];
    trace(pen, [[x - half, y], [x + half, y]]);
    Object.assign(pen, { lineWidth: 3.5, strokeStyle: "rgb(60 46 30 / 70%)" });
    pen.stroke();
    const [px, py] = toPx(at(T, -Math.max(upper, lower) / 2, middle));
    if (view.scale * height < 9) return;
    Object.assign(pen, { lineWidth: 3, strokeStyle: "rgb(255 255 255 / 85%)", fillStyle: "#1e2833" });
    pen.strokeText(level, px - 5, py);
    pen.fillText(level, px - 5, py);
  });
  pen.restore();
}

function drawRuler(pen) { // heights above the base, mm
  const base = baseMm()[1], step = [10, 20, 50, 100].find((mm) => mm * view.scale > 34) ?? 200;
  pen.fillStyle = "rgb(255 255 255 / 86%)";
  pen.fillRect(0, 0, 46, view.height);
  pen.fillStyle = "#dde3e9";
  pen.fillRect(46, 0, 1, view.height);
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const [, top] = toMm([0, 0]), [, bottom] = toMm([0, view.height]);
  for (let mm = Math.ceil((bottom - base) / step) * step; mm <= top - base; mm += step) {
    const [, py] = toPx([0, base + mm]);
    pen.fillStyle = mm === 0 ? "#00629b" : "#aab6c2";
    pen.fillRect(40, py - 0.5, 7, mm === 0 ? 2 : 1);
    pen.fillStyle = mm === 0 ? "#00629b" : "#55616e";
    if (py > 26) pen.fillText(String(mm).replace("-", "\u2212"), 36, py);
  }
  pen.fillStyle = "rgb(255 255 255 / 95%)";
  pen.fillRect(0, 0, 46, 22);
  pen.fillStyle = "#55616e";
  pen.fillText("mm", 36, 12);
  for (const { key, mark } of allMarks()) { // where the marks are along it
    pen.fillStyle = isChanged({ key, mark }) ? "#b34700" : "#00629b";
    const [, py] = toPx(mark.mm);
    pen.beginPath();
    pen.moveTo(47, py);
    pen.lineTo(53, py - 3.5);
    pen.lineTo(53, py + 3.5);
    if (py > 22) pen.fill();
  }
}
