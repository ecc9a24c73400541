// The marks as buttons over the picture: by mouse, finger or key. And what the picture does under the pointer.
const handles = new Map(); // id -> button
let chosen = 0; // id of the mark that is chosen
let dragging = null; // {id, grab: [dx, dy] px, before: snapshot}
const CROWDED = 24;
const NEAR_PX = 7;

function announce(text) { find("say").textContent = text; }

function describe(item) {
  const { mark, name, key } = item, up = mark.mm[1] - baseMm()[1];
  const state = mark.state === "added" ? "added" : hasMoved(mark) ? `moved by ${one(movedBy(mark))} mm` : isSure(item) ? (mark.state === "given" ? "from the file" : "accepted") : "found, not accepted";
  return `${key === "line" ? `Line, ${name.toLowerCase()}` : name}: ${whole(up)} mm above the base, ${sideways(aside(mark.mm))}, ${state}`;
}

function updateHandles() {
  const items = allMarks(), group = find("handles"), crowded = doc.line.length > CROWDED;
  const kept = new Set(items.map(({ mark }) => mark.id));
  for (const [id, button] of handles) if (!kept.has(id)) { button.remove(); handles.delete(id); }
  items.forEach((item, k) => {
    let button = handles.get(item.mark.id);
    if (!button) handles.set(item.mark.id, button = makeHandle(item.mark.id));
    if (group.children[k] !== button) group.insertBefore(button, group.children[k] ?? null); // the order of Tab
    button.className = ["handle", item.key !== "line" && "landmark", isChanged(item) ? "changed" : isSure(item) && "sure", crowded && item.key === "line" && "tiny"].filter(Boolean).join(" ");
    button.textContent = item.badge;
    button.setAttribute("aria-label", describe(item));
    button.setAttribute("aria-current", String(item.mark.id === chosen));
    button.dataset.name = item.key === "line" ? `line ${item.badge}` : item.key;
  });
  placeHandles();
}

function placeHandles() {
  for (const { key, mark } of allMarks()) {
    const button = handles.get(mark.id), [dx, dy] = BESIDE[key] ?? [0, 0], [x, y] = toPx(mark.mm).map((px, axis) => px + [dx, dy][axis]);
    if (button) button.style.transform = `translate(${x}px, ${y}px)`;
  }
}

function makeHandle(id) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-describedby", "how");
  button.addEventListener("focus", () => choose(id));
  button.addEventListener("pointerdown", (event) => grab(event, id));
  button.addEventListener("keydown", (event) => keyOnHandle(event, id));
  return button;
}

function choose(id) {
  if (chosen === id) return;
  chosen = id;
  changed();
}

function focusMark(id) {
  choose(id);
  const item = markOf(id), button = handles.get(id);
  if (!item || !button) return;
  const [x, y] = toPx(item.mark.mm);
  if (x < 60 || y < 20 || x > view.width - 20 || y > view.height - 70) { [view.x, view.y] = item.mark.mm; view.fitted = false; redraw(); }
  button.focus({ preventScroll: true });
}

const inView = (event) => { const box = view.canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

function grab(event, id) {
  if (event.button !== 0 || dragging) return;
  event.preventDefault();
  focusMark(id);
  const at = inView(event), mark = toPx(markOf(id).mark.mm), button = handles.get(id);
  dragging = { id, pointer: event.pointerId, grab: [mark[0] - at[0], mark[1] - at[1]], start: at, before: snapshot(), far: false };
  try { button.setPointerCapture(event.pointerId); } catch { /* a made-up pointer */ }
}

function dragTo(event) {
  if (!dragging || event.pointerId !== dragging.pointer) return;
  const at = inView(event);
  if (!dragging.far && Math.hypot(at[0] - dragging.start[0], at[1] - dragging.start[1]) < 2) return; // a click is no move
  dragging.far = true;
  let [x, y] = toMm([at[0] + dragging.grab[0], at[1] + dragging.grab[1]]);
  if (markOf(dragging.id).key === "line" && find("snap").checked !== event.altKey) x = skin.furrow(x, y);
  moveMark(dragging.id, x, y);
  changed();
}

function drop(event) {
  if (!dragging || event.pointerId !== dragging.pointer) return;
  const { id, before, far } = dragging;
  dragging = null;
  if (event.type === "pointercancel") { Object.assign(doc, JSON.parse(before)); changed(); return; }
  if (!far && snapshot() === before) return;
  history.past.push(before); // the whole drag is one step back
  Object.assign(history, { future: [], merge: "" });
  changed();
  announce(describe(markOf(id)));
}

function keyOnHandle(event, id) {
  const item = markOf(id), ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const way = ways[event.key];
  if (!item || event.ctrlKey || event.metaKey) return;
  if (way) {
    const mm = event.shiftKey ? 5 : event.altKey ? 0.2 : 1;
    edit(() => moveMark(id, item.mark.mm[0] + way[0] * mm, item.mark.mm[1] + way[1] * mm), `move ${id}`);
    announce(describe(markOf(id)));
  } else if (event.key === "Delete" || event.key === "Backspace") {
    removeMark(id);
  } else if (event.key === "Enter" || event.key === " ") {
    edit(() => accept(item.key));
    announce(describe(markOf(id)));
  } else if (event.key === "Insert" || event.key === "a" || event.key === "A") {
    addBelow(id);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function removeMark(id) {
  const item = markOf(id), items = allMarks(), k = items.findIndex(({ mark }) => mark.id === id);
  if (!item || !canDelete(item)) { announce(`${item?.name ?? "This"} cannot be removed: a fit needs it.`); return; }
  edit(() => deleteMark(id));
  const left = allMarks(), next = left[Math.min(k, left.length - 1)];
  if (next) focusMark(next.mark.id);
  announce(`${item.name} removed.`);
}

function addBelow(id) { // half-way to the next point; without one chosen, in the widest gap
  const line = numberedLine();
  let k = line.findIndex((mark) => mark.id === id);
  const gap = (j) => line[j].mm[1] - line[j + 1].mm[1];
  if (k < 0) k = line.slice(0, -1).reduce((best, _, j) => (gap(j) > gap(best) ? j : best), 0);
  if (line.length > 1) k = Math.min(k, line.length - 2);
  let x = baseMm()[0], y = (baseMm()[1] + (doc.vp ?? { mm: [0, facts.extent.top_mm] }).mm[1]) / 2;
  if (line.length > 1) { y = (line[k].mm[1] + line[k + 1].mm[1]) / 2; x = lineCurve(doc.line)?.at(y) || (line[k].mm[0] + line[k + 1].mm[0]) / 2; }
  else if (line.length === 1) y = (y + line[0].mm[1]) / 2;
  let added = 0;
  edit(() => { added = addPoint(x, y); });
  focusMark(added);
  announce(`Added. ${describe(markOf(added))}`);
}

function onLine(event) { // the place on the line under the pointer, mm; null away from it
  const [px, py] = inView(event), [x, y] = toMm([px, py]), curve = lineCurve(doc.line), on = curve?.at(y);
  return on !== undefined && Math.abs(on - x) * view.scale < NEAR_PX ? [on, y] : null;
}

const fingers = new Map(); // pointers on the picture, for panning and pinching
function pressPicture(event) {
  const place = event.button === 0 && !fingers.size && onLine(event);
  if (place) { // out of the line comes a new point, in hand at once
    const before = snapshot(), id = addPoint(...place);
    changed();
    grab(event, id);
    if (dragging) Object.assign(dragging, { before, far: false });
    return;
  }
  fingers.set(event.pointerId, inView(event));
  try { view.canvas.setPointerCapture(event.pointerId); } catch { /* a made-up pointer */ }
  find("map").classList.add("panning");
}

function movePicture(event) {
  const before = fingers.get(event.pointerId), at = inView(event);
  showCursor(at);
  if (!before) { find("map").classList.toggle("near-line", Boolean(!dragging && onLine(event))); return; }
  fingers.set(event.pointerId, at);
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const was = Math.hypot(before[0] - other[0], before[1] - other[1]), is = Math.hypot(at[0] - other[0], at[1] - other[1]);
    if (was > 0 && is > 0) zoomAt(is / was, [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
  }
  panBy((at[0] - before[0]) / fingers.size, (at[1] - before[1]) / fingers.size);
}

function leavePicture(event) {
  fingers.delete(event.pointerId);
  if (!fingers.size) find("map").classList.remove("panning");
}

function showCursor(px) {
  const [x, y] = toMm(px);
  const on = skin.isSeen(x, y) ? `${whole(y - baseMm()[1])} mm above the base · ${sideways(aside([x, y]))} · depth ${one(skin.height(x, y))} mm` : "";
  find("cursor").textContent = on;
}

function listenToPicture() {
  const { canvas } = view;
  canvas.addEventListener("pointerdown", pressPicture);
  canvas.addEventListener("pointermove", movePicture);
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(kind, leavePicture);
  canvas.addEventListener("pointerleave", () => { find("cursor").textContent = ""; });
  canvas.addEventListener("dblclick", (event) => {
    let added = 0;
    edit(() => { const [x, y] = toMm(inView(event)); added = addPoint(find("snap").checked ? skin.furrow(x, y) : x, y); });
    focusMark(added);
  });
  find("map").addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    zoomAt(Math.exp(-Math.min(Math.max(event.deltaY * unit, -300), 300) * 0.0015), inView(event));
  }, { passive: false });
  addEventListener("pointermove", dragTo);
  addEventListener("pointerup", drop);
  addEventListener("pointercancel", drop);
}
