// What is marked: four landmarks and the line, every change in a history. A mark is {id, mm, scan, was, state}: mm in
// the frame shown, scan as the file has it (gone once it is moved), was where it stood when the page opened.
const POINTS = ["vp", "base", "dimple_left", "dimple_right"];
const NAMES = { vp: "VP", base: "Base", dimple_left: "Left dimple", dimple_right: "Right dimple" };
const BADGES = { vp: "VP", base: "B", dimple_left: "DL", dimple_right: "DR" };
const MERGE_MS = 900;
const FEWEST_POINTS = 4;
const find = (id) => document.getElementById(id);

let facts = null, skin = null; // of the server: state.json and heights.bin
const doc = { vp: null, base: null, dimple_left: null, dimple_right: null, line: [], line_state: "found" };
const history = { past: [], future: [], merge: "", when: 0, saved: "" };
const listeners = [];
let numbered = 0;

function newMark(mark, state) { return { id: ++numbered, mm: mark.mm, scan: mark.scan ?? null, was: mark.scan ? mark.mm : null, state }; }

function loadMarks(marks, given) {
  for (const key of POINTS) doc[key] = marks[key] && newMark(marks[key], given.includes(key) ? "given" : "found");
  doc.line_state = given.includes("spinous_line") ? "given" : "found";
  doc.line = (marks.spinous_line ?? []).map((mark) => newMark(mark, doc.line_state));
  history.saved = said();
}

const snapshot = () => JSON.stringify(doc);
const said = () => JSON.stringify(message());
const isSaved = () => said() === history.saved;

// Every change passes here. Changes with the same `merge` that follow one another closely are one step back.
function edit(change, merge = "") {
  const before = snapshot(), now = performance.now();
  change();
  if (snapshot() === before) return;
  if (!merge || merge !== history.merge || now - history.when > MERGE_MS) history.past.push(before);
  if (history.past.length > 500) history.past.shift();
  Object.assign(history, { future: [], merge, when: now });
  changed();
}

function step(from, to) {
  if (!from.length) return false;
  to.push(snapshot());
  Object.assign(doc, JSON.parse(from.pop()));
  history.merge = "";
  changed();
  return true;
}
const undo = () => step(history.past, history.future);
const redo = () => step(history.future, history.past);

function changed() { for (const listener of listeners) listener(); }

// All marks from the neck down: {key or index, mark, name, badge}.
function allMarks() {
  const point = (key) => doc[key] && { key, mark: doc[key], name: NAMES[key], badge: BADGES[key] };
  const line = numberedLine().map((mark, k) => ({ key: "line", mark, name: `Point ${k + 1}`, badge: String(k + 1) }));
  return [point("vp"), ...line, point("dimple_left"), point("dimple_right"), point("base")].filter(Boolean);
}
const numberedLine = () => [...doc.line].sort((a, b) => b.mm[1] - a.mm[1]);
const markOf = (id) => allMarks().find(({ mark }) => mark.id === id) ?? null;
const hasMoved = (mark) => Boolean(mark.was) && !mark.scan;
const isSure = ({ key, mark }) => (key === "line" ? doc.line_state : mark.state) !== "found";
const isChanged = ({ mark }) => hasMoved(mark) || mark.state === "added";
const movedBy = (mark) => (hasMoved(mark) ? Math.hypot(mark.mm[0] - mark.was[0], mark.mm[1] - mark.was[1]) : 0);

function moveMark(id, x, y) {
  const { key, mark } = markOf(id);
  mark.mm = [x, y, skin.height(x, y)];
  mark.scan = null;
  if (mark.state !== "added") mark.state = "moved";
  if (key === "line") doc.line_state = "accepted";
}

function putBack(id) {
  const { mark } = markOf(id), first = first_marks.get(id);
  if (first) Object.assign(mark, structuredClone(first));
}
const first_marks = new Map(); // id -> the mark as it was loaded
function rememberFirst() { for (const { mark } of allMarks()) if (!first_marks.has(mark.id)) first_marks.set(mark.id, structuredClone(mark)); }

function addPoint(x, y) { // to the line, in its order
  const mark = { ...newMark({ mm: [x, y, skin.height(x, y)] }, "added") };
  const falls = doc.line.length < 2 || doc.line[0].mm[1] > doc.line.at(-1).mm[1];
  const at = doc.line.findIndex(({ mm }) => (falls ? mm[1] < y : mm[1] > y));
  doc.line.splice(at < 0 ? doc.line.length : at, 0, mark);
  doc.line_state = "accepted";
  return mark.id;
}

function addLandmarks(key) { // where it will roughly be; dimples come as a pair
  const { left_mm, right_mm, bottom_mm, top_mm } = facts.extent, middle = (left_mm + right_mm) / 2;
  const place = (one, x, y) => { doc[one] = newMark({ mm: [x, y, skin.height(x, y)] }, "added"); };
  if (key === "vp") place("vp", doc.line.length ? numberedLine()[0].mm[0] : middle, top_mm - 0.12 * (top_mm - bottom_mm));
  if (key === "base") {
    const dimples = doc.dimple_left && doc.dimple_right && [0, 1].map((axis) => (doc.dimple_left.mm[axis] + doc.dimple_right.mm[axis]) / 2);
    place("base", ...(dimples || [doc.line.length ? numberedLine().at(-1).mm[0] : middle, bottom_mm + 0.12 * (top_mm - bottom_mm)]));
  }
  if (key.startsWith("dimple")) {
    const [x, y] = doc.base ? doc.base.mm : [middle, bottom_mm + 60];
    place("dimple_left", x - 42, y);
    place("dimple_right", x + 42, y);
  }
  return doc[key].id;
}

const canDelete = ({ key }) => key === "line" || key.startsWith("dimple");
function deleteMark(id) {
  const { key } = markOf(id);
  if (key === "line") { doc.line = doc.line.filter((mark) => mark.id !== id); doc.line_state = "accepted"; }
  else if (key.startsWith("dimple")) doc.dimple_left = doc.dimple_right = null;
}

function accept(key) { // a landmark, or the line
  if (key === "line") { if (doc.line_state === "found") doc.line_state = "accepted"; }
  else if (doc[key]?.state === "found") doc[key].state = "accepted";
}

// As the server wants it. What was found and nobody accepted is left out where the file may lack it: it is found anew.
function message() {
  const place = (mark) => (mark.scan ? { scan: mark.scan } : { mm: mark.mm.slice(0, 2) });
  const point = (key) => (doc[key] && (key === "vp" || key === "base" || doc[key].state !== "found") ? place(doc[key]) : null);
  const line = doc.line_state === "found" || !doc.line.length ? null : doc.line.map(place);
  return { ...Object.fromEntries(POINTS.map((key) => [key, point(key)])), spinous_line: line };
}
const isUntouched = () => doc.line_state === "found" && POINTS.every((key) => !doc[key] || doc[key].state === "found");
const lacking = () => (!doc.vp ? "Place VP first." : !doc.base && !doc.dimple_left ? "Place the base, or both dimples, first." : "");

// Where somebody's eye looks for a mark: how high above the base, how far from the straight line to VP.
function baseMm() {
  if (doc.base) return doc.base.mm;
  return doc.dimple_left && doc.dimple_right ? [0, 1, 2].map((axis) => (doc.dimple_left.mm[axis] + doc.dimple_right.mm[axis]) / 2) : [0, 0, 0];
}
function aside([x, y]) {
  const base = baseMm(), vp = doc.vp?.mm;
  return vp && vp[1] !== base[1] ? x - base[0] - (vp[0] - base[0]) * (y - base[1]) / (vp[1] - base[1]) : x - base[0];
}
const one = (value) => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1).replace("-", "\u2212");
const whole = (value) => one(Math.round(value)).replace(/\.0$/, "");
const sideways = (value) => (Math.abs(value) < 0.05 ? "on the straight line" : `${one(Math.abs(value))} mm ${value > 0 ? "right" : "left"}`);
