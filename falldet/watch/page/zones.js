
// One camera large, and its zones drawn by pointer, touch or keyboard.
const CLOSE_PX = 16; // a click this near to the first point closes the polygon
const STEP_SHARE = 0.005;
const viewer = { name: null, zones: [], before: [], chosen: -1, point: -1, drawing: null, hover: null, held: false, parts: null, saved: "", saves: 0 };
const stage = find("viewer-stage");

function viewed() { return find("viewer").open ? viewer.name : null; }
function changed() { return JSON.stringify(viewer.zones) !== viewer.saved; }

function openViewer(name) {
  viewer.parts ??= stageParts(stage);
  const camera = cameras.get(name);
  Object.assign(viewer, { name, before: [], chosen: -1, point: -1, drawing: null });
  find("viewer-title").textContent = name;
  find("saved").textContent = "";
  viewer.parts.image.hidden = true;
  loadZones();
  find("viewer").showModal();
  if (camera.look) showLook(viewer.parts, camera.look);
  if (camera.health) showPill(find("viewer-health"), ...(HEALTH[camera.health.state] || ["warn", camera.health.state]));
  choosePictures();
}

function loadZones() {
  viewer.zones = structuredClone(cameras.get(viewer.name).zones);
  viewer.saved = JSON.stringify(viewer.zones);
  viewer.before = [];
  render();
}

function zonesChanged() { // elsewhere, such as on another page; what is drawn or held here is not thrown away
  if (viewed() && !changed() && !viewer.drawing && !viewer.held) loadZones();
}

function edit(change) { // every change passes here, so that it can be undone
  viewer.before.push(JSON.stringify(viewer.zones));
  if (viewer.before.length > 200) viewer.before.shift();
  change();
  find("saved").textContent = "";
  render();
}

function undo() {
  if (viewer.drawing) { viewer.drawing.pop(); if (!viewer.drawing.length) viewer.drawing = null; }
  else if (viewer.before.length) { viewer.zones = JSON.parse(viewer.before.pop()); viewer.point = -1; }
  if (!viewer.zones[viewer.chosen]) viewer.chosen = -1;
  render();
}

const chosenZone = () => { const zone = viewer.zones[viewer.chosen]; return zone && !zone.fixed ? zone : null; };

function newName() {
  const taken = new Set(viewer.zones.map((zone) => zone.name));
  for (let n = 1; ; n++) if (!taken.has(`Zone ${n}`)) return `Zone ${n}`;
}

function addZone(polygon) {
  edit(() => {
    viewer.zones.push({ name: newName(), polygon, fixed: false });
    Object.assign(viewer, { chosen: viewer.zones.length - 1, point: -1, drawing: null, hover: null });
  });
}

function finish() {
  const polygon = viewer.drawing;
  if (polygon && polygon.length >= 3) addZone(polygon.map((point) => point.map(clamp)));
}

function place(event) { // where in the picture, in shares of it
  const box = viewer.parts.frame.getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function render() {
  const { zones, drawing, chosen } = viewer;
  stage.classList.toggle("drawing", Boolean(drawing));
  showZones(viewer.parts.zones, zones);
  viewer.parts.zones.querySelectorAll("polygon").forEach((polygon, k) => {
    polygon.classList.toggle("chosen", k === chosen);
    if (!zones[k].fixed) polygon.addEventListener("pointerdown", (event) => grabZone(event, k));
  });
  drawLine();
  renderHandles();
  renderList();
  const zone = chosenZone(), n = drawing?.length ?? 0;
  find("guide").textContent = drawing
    ? n < 3 ? `Click the corners of the zone in the picture (${n} of at least 3).` : "Click the first corner again, or Finish."
    : zone && crosses(zone.polygon) ? "The edges of this zone cross: move its points apart."
    : zone ? "Drag points, or move them with the arrow keys; Delete removes one. Small points add one." : "";
  find("draw").hidden = find("rectangle").hidden = Boolean(drawing);
  find("finish").hidden = find("cancel").hidden = !drawing;
  find("finish").disabled = n < 3;
  find("delete-point").hidden = Boolean(drawing) || !zone || viewer.point < 0;
  find("delete-point").disabled = !zone || zone.polygon.length <= 3;
  find("undo").disabled = !drawing && !viewer.before.length;
  find("save").disabled = Boolean(drawing) || !changed() || zones.some((one) => crosses(one.polygon));
  find("discard").hidden = !changed();
}

function drawLine() {
  viewer.parts.zones.querySelector("polyline")?.remove();
  if (!viewer.drawing) return;
  const points = viewer.hover ? [...viewer.drawing, viewer.hover] : viewer.drawing;
  viewer.parts.zones.append(makeSvg("polyline", { points: points.map((point) => point.join(",")).join(" ") }));
}

function handle(point, label, kind) {
  const button = make("button", { type: "button", className: `handle ${kind}`, ariaLabel: label });
  button.style.left = `${100 * point[0]}%`;
  button.style.top = `${100 * point[1]}%`;
  return button;
}

function renderHandles() {
  const layer = find("handles"), zone = chosenZone(), shown = [];
  if (viewer.drawing) {
    viewer.drawing.forEach((point, k) => shown.push(handle(point, `Corner ${k + 1}`, "")));
  } else if (zone) {
    zone.polygon.forEach((point, k) => {
      const next = zone.polygon[(k + 1) % zone.polygon.length];
      const corner = handle(point, `Point ${k + 1} of ${zone.name}`, k === viewer.point ? "chosen" : "");
      corner.addEventListener("pointerdown", (event) => grabPoint(event, k));
      corner.addEventListener("keydown", (event) => pointKey(event, k));
      corner.addEventListener("focus", () => { if (viewer.point !== k) { viewer.point = k; render(); focusPoint(k); } });
      const between = handle(middle(point, next), `Add a point after ${k + 1}`, "middle");
      const add = () => edit(() => { zone.polygon = inserted(zone.polygon, k, middle(point, next)); viewer.point = k + 1; });
      between.addEventListener("pointerdown", (event) => { add(); grabPoint(event, k + 1, false); });
      between.addEventListener("click", (event) => { if (event.detail === 0) { add(); focusPoint(k + 1); } });
      shown.push(corner, between);
    });
  }
  layer.replaceChildren(...shown);
}

function focusPoint(k) { find("handles").querySelectorAll(".handle:not(.middle)")[k]?.focus(); }

function drag(event, move, keepsUndo = true) { // follows the pointer wherever it goes, until it is let go
  event.preventDefault();
  event.stopPropagation();
  const before = JSON.stringify(viewer.zones), id = event.pointerId;
  viewer.held = true;
  const follow = (next) => { if (next.pointerId === id) { move(place(next)); render(); } };
  const end = (next) => {
    if (next.pointerId !== id) return;
    viewer.held = false;
    for (const [name, listener] of [["pointermove", follow], ["pointerup", end], ["pointercancel", end]]) window.removeEventListener(name, listener);
    if (keepsUndo && before !== JSON.stringify(viewer.zones)) viewer.before.push(before);
    find("saved").textContent = "";
    render();
    if (viewer.point >= 0) focusPoint(viewer.point);
  };
  for (const [name, listener] of [["pointermove", follow], ["pointerup", end], ["pointercancel", end]]) window.addEventListener(name, listener);
}

function grabPoint(event, k, keepsUndo = true) {
  const zone = chosenZone();
  viewer.point = k;
  render();
  drag(event, (point) => { zone.polygon = moved(zone.polygon, k, point); }, keepsUndo);
}

function grabZone(event, k) {
  if (viewer.drawing) return;
  const zone = viewer.zones[k], whole = zone.polygon, from = place(event);
  Object.assign(viewer, { chosen: k, point: -1 });
  render();
  drag(event, (to) => { zone.polygon = shifted(whole, to[0] - from[0], to[1] - from[1]); });
}

function pointKey(event, k) {
  const zone = chosenZone(), step = STEP_SHARE * (event.shiftKey ? 8 : 1), [x, y] = zone.polygon[k];
  const target = { ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step] }[event.key];
  if (target) edit(() => { zone.polygon = moved(zone.polygon, k, target); viewer.point = k; });
  else if (event.key === "Delete" || event.key === "Backspace") removePoint();
  else return;
  event.preventDefault();
  focusPoint(Math.max(0, viewer.point));
}

function removePoint() {
  const zone = chosenZone(), k = viewer.point;
  if (!zone || k < 0 || zone.polygon.length <= 3) return;
  edit(() => { zone.polygon = without(zone.polygon, k); viewer.point = Math.min(k, zone.polygon.length - 1); });
}

function renderList() {
  const list = find("zone-list"), writing = list.contains(document.activeElement) && document.activeElement.tagName === "INPUT";
  if (writing && list.children.length === viewer.zones.length) return; // do not pull the field from under the hands
  list.replaceChildren(...viewer.zones.map((zone, k) => {
    if (zone.fixed) return make("li", {}, make("span", { className: "fixed" }, zone.name, " ", make("small", { textContent: "set in the configuration" })));
    const name = make("input", { value: zone.name, maxLength: 60, ariaLabel: `Name of zone ${k + 1}` });
    name.addEventListener("focus", () => { if (viewer.chosen !== k) { viewer.chosen = k; viewer.point = -1; render(); mark(); } });
    name.addEventListener("change", () => { if (name.value.trim()) edit(() => { zone.name = name.value.trim(); }); else name.value = zone.name; });
    const remove = make("button", { type: "button", textContent: "✕", ariaLabel: `Delete ${zone.name}` });
    remove.addEventListener("click", () => { edit(() => { viewer.zones.splice(k, 1); viewer.chosen = viewer.point = -1; }); find("draw").focus(); });
    return make("li", { className: k === viewer.chosen ? "chosen" : "" }, name, remove);
  }));
}

function mark() { [...find("zone-list").children].forEach((row, k) => row.classList.toggle("chosen", k === viewer.chosen)); }

stage.addEventListener("pointermove", (event) => { if (viewer.drawing) { viewer.hover = place(event); drawLine(); } });
stage.addEventListener("pointerleave", () => { if (viewer.drawing) { viewer.hover = null; drawLine(); } });
stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (!viewer.drawing) { Object.assign(viewer, { chosen: -1, point: -1 }); render(); return; }
  event.preventDefault();
  const point = place(event), first = viewer.drawing[0], last = viewer.drawing.at(-1);
  const frame = viewer.parts.frame.getBoundingClientRect();
  if (first && viewer.drawing.length >= 3 && near(point, first, frame) < CLOSE_PX) finish();
  else if (!last || near(point, last, frame) > 3) { viewer.drawing.push(point); render(); }
});
find("draw").addEventListener("click", () => { Object.assign(viewer, { drawing: [], chosen: -1, point: -1, hover: null }); find("saved").textContent = ""; render(); });
find("rectangle").addEventListener("click", () => { addZone([[0.35, 0.4], [0.65, 0.4], [0.65, 0.7], [0.35, 0.7]]); focusPoint(0); });
find("finish").addEventListener("click", finish);
find("cancel").addEventListener("click", () => { viewer.drawing = null; render(); });
find("undo").addEventListener("click", undo);
find("delete-point").addEventListener("click", removePoint);
find("discard").addEventListener("click", loadZones);
find("save").addEventListener("click", async () => {
  const told = find("saved"), name = viewer.name;
  const zones = viewer.zones.filter((zone) => !zone.fixed).map((zone) => ({ name: zone.name, polygon: zone.polygon }));
  try {
    const answer = await ask(`/api/zones/${encodeURIComponent(name)}`, {
      method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ zones }),
    });
    const camera = cameras.get(name);
    viewer.saves += 1;
    camera.zones = answer.zones;
    showZones(camera.tile.parts.zones, answer.zones);
    if (viewed() === name) { loadZones(); find("draw").focus(); } // a button that is off holds no focus
    told.className = "saved";
    told.textContent = "Saved, and used from now on.";
  } catch (error) {
    told.className = "saved bad";
    told.textContent = `Not saved: ${error.message}`;
  }
});

function closeViewer() {
  if (viewer.drawing) { viewer.drawing = null; render(); return; }
  if (changed()) {
    find("saved").className = "saved bad";
    find("saved").textContent = "There are changes that are not saved: save or discard them.";
    find("save").focus();
    return;
  }
  find("viewer").close();
}
find("viewer-close").addEventListener("click", closeViewer);
find("viewer").addEventListener("cancel", (event) => { event.preventDefault(); closeViewer(); });
find("viewer").addEventListener("close", choosePictures);
find("viewer").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && viewer.drawing && event.target.tagName !== "BUTTON") finish();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && event.target.tagName !== "INPUT") { event.preventDefault(); undo(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && viewed()) { event.preventDefault(); closeViewer(); }
});
