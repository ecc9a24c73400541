// The column beside the pictures: landmarks, line, what is chosen, and the fit with its figures.
const POLL_MS = 300;
const fit = { running: false, wanted: false, before: null, now: null, asked: "" };

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function ask(address, said) {
  const options = said === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
  let response;
  try { response = await fetch(address, options); } catch { throw new Error("spine annotate does not answer: has it been ended in the terminal?"); }
  const text = await response.text();
  let body = {};
  try { body = JSON.parse(text); } catch { body = { error: text.trim() }; }
  if (!response.ok) throw new Error(body.error || `the answer was ${response.status}`);
  return body;
}

function trouble(text) {
  const place = find("trouble");
  place.hidden = !text;
  if (text) place.replaceChildren(text, make("button", { type: "button", className: "small", textContent: "Close", onclick: () => trouble("") }));
}

function stateOf(item) { // [class, words]
  if (item.mark.state === "added") return ["moved", "added"];
  if (hasMoved(item.mark)) return ["moved", `moved ${one(movedBy(item.mark))} mm`];
  if (!isSure(item)) return ["", "found"];
  return ["ok", item.key !== "line" && item.mark.state === "given" || item.key === "line" && doc.line_state === "given" ? "from the file" : "accepted"];
}

function updatePanel() {
  updateMarks();
  updateLine();
  updateChosen();
  const missing = lacking(), items = allMarks();
  find("undo").disabled = !history.past.length;
  find("redo").disabled = !history.future.length;
  find("save").disabled = Boolean(missing);
  find("refit").disabled = Boolean(missing && !isUntouched()) || fit.running;
  find("accept-all").disabled = items.every(isSure);
  const [kind, text] = missing ? ["", missing] : !isSaved() ? ["moved", "Unsaved changes"] : saved_at ? ["ok", `Saved ${saved_at}`] : isUntouched() ? ["", "As found"] : ["ok", "From the file"];
  const chip = find("standing");
  chip.className = `chip ${kind}`.trim();
  if (chip.textContent !== text) chip.textContent = text;
  document.title = `${isSaved() ? "" : "• "}${facts.name} – spine annotate`;
}

function updateMarks() {
  const rows = POINTS.map((key) => {
    const mark = doc[key];
    if (!mark) {
      if (key === "dimple_right" && !doc.dimple_left) return null;
      const name = key.startsWith("dimple") ? "Dimples" : NAMES[key];
      const why = key === "base" && doc.dimple_left ? "half-way between the dimples" : "not placed";
      const add = make("button", { type: "button", className: "small add", textContent: "Place", onclick: () => { let id = 0; edit(() => { id = addLandmarks(key); }); focusMark(id); announce(describe(markOf(id))); } });
      add.setAttribute("aria-label", `Place ${name}`);
      return make("li", {}, make("span", {}, `${name} `, make("span", { className: "number", textContent: why })), add);
    }
    const item = { key, mark }, [kind, words] = stateOf(item), sure = isSure(item);
    const pick = make("button", { type: "button", className: "pick", textContent: NAMES[key], onclick: () => focusMark(mark.id) });
    const tick = make("button", { type: "button", className: "small tickbox", textContent: "✓", disabled: sure, title: sure ? "Accepted" : "Accept", onclick: () => edit(() => accept(key)) });
    tick.setAttribute("aria-pressed", String(sure));
    tick.setAttribute("aria-label", `Accept ${NAMES[key]}`);
    const height = make("span", { className: "number", textContent: `${whole(mark.mm[1] - baseMm()[1])} mm` });
    return make("li", { className: mark.id === chosen ? "chosen" : "" }, pick, height, make("span", { className: `state ${kind}`, textContent: words }), tick);
  });
  const list = find("marks"), focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...rows.filter(Boolean));
  if (focused >= 0) [...list.querySelectorAll("button")][focused]?.focus();
}

function updateLine() {
  const count = doc.line.length, moved = doc.line.filter((mark) => hasMoved(mark) || mark.state === "added").length;
  const [kind, words] = moved ? ["moved", `${moved} changed`] : doc.line_state === "found" ? ["", "found"] : ["ok", doc.line_state === "given" ? "from the file" : "accepted"];
  const state = find("line-state");
  state.className = `state ${kind}`;
  state.textContent = words;
  const points = `${count} ${count === 1 ? "point" : "points"}.`;
  find("line-note").textContent = doc.line_state === "found" ? `${points} Not accepted: a fit finds the line anew, and trusts it less than yours.`
    : count < FEWEST_POINTS ? `${points} A line needs ${FEWEST_POINTS}: until then a fit finds it anew.` : points;
  find("line-accept").disabled = doc.line_state !== "found" || !count;
  find("line-thin").hidden = count <= 14;
}

function updateChosen() {
  const item = markOf(chosen);
  find("chosen").hidden = !item;
  if (!item) return;
  const [kind, words] = stateOf(item), state = find("chosen-state"), [x, y, z] = item.mark.mm;
  find("chosen-title").textContent = item.key === "line" ? `${item.name} of the line` : item.name;
  state.className = `state ${kind}`;
  state.textContent = words;
  const rows = [["Above the base", `${one(y - baseMm()[1])} mm`], ["Sideways", sideways(aside([x, y]))], ["Depth of the skin", `${one(z)} mm`]];
  find("chosen-facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  find("chosen-accept").disabled = isSure(item);
  find("chosen-back").disabled = !hasMoved(item.mark);
  find("chosen-delete").disabled = !canDelete(item);
}

function listenToPanel() {
  find("accept-all").onclick = () => { edit(() => { for (const key of [...POINTS, "line"]) accept(key); }); announce("All accepted."); };
  find("line-accept").onclick = () => { edit(() => accept("line")); announce("The line is accepted."); };
  find("line-add").onclick = () => addBelow(chosen);
  find("line-thin").onclick = () => { edit(() => { doc.line = fewer(doc.line, 0.7); doc.line_state = "accepted"; }); announce(`${doc.line.length} points are left.`); };
  find("chosen-accept").onclick = () => edit(() => accept(markOf(chosen).key));
  find("chosen-back").onclick = () => edit(() => putBack(chosen));
  find("chosen-delete").onclick = () => removeMark(chosen);
  find("always").onchange = () => { if (find("always").checked && fitted_spine?.stale !== false) refit(); };
}

// The fit: begun here, run by the server, asked for until it has ended.
async function refit() {
  if (fit.running) { fit.wanted = true; return; }
  if (lacking() && !isUntouched()) { trouble(lacking()); return; }
  trouble("");
  const asked = said();
  Object.assign(fit, { running: true, wanted: false });
  showRunning("Beginning");
  updatePanel();
  try {
    let state = await ask("fit", { marks: isUntouched() && !facts.trouble ? null : message() });
    while (state.phase === "running") {
      showRunning(state.stage, state.seconds);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      state = await ask("fit");
    }
    if (state.phase !== "done") throw new Error(state.error || "the fit was not heard of again");
    fit.asked = asked;
    fit.running = false;
    showFit(state.result, state.seconds);
  } catch (error) {
    showState("bad", "Failed");
    find("fit-note").textContent = error.message;
    trouble(error.message);
  }
  fit.running = false;
  find("fit-bar").hidden = true;
  updatePanel();
  if (fit.wanted) refit();
}

function showState(kind, text) { Object.assign(find("fit-state"), { className: `state ${kind}`, textContent: text }); }

function showRunning(stage, seconds) {
  showState("", seconds >= 1 ? `${Math.floor(seconds)} s` : "Running");
  find("fit-bar").hidden = false;
  find("fit-bar").setAttribute("aria-valuetext", stage);
  find("fit-note").textContent = `${stage} …`;
}

function showFit(result, seconds) {
  if (fitted_spine === null && scene) { find("skin").value = 45; scene.opacity = 0.45; }
  fitted_spine = { ...result, stale: false };
  if (fit.now) fit.before = fit.now;
  fit.now = Object.fromEntries(result.indices.map((index) => [index.key, index]));
  const rows = result.indices.map((index) => {
    const before = fit.before?.[index.key], differs = before && before.text !== index.text;
    const usual = index.usual ? make("small", { className: index.unusual ? "unusual" : "", textContent: `usual ${index.usual}` }) : "";
    const value = make("td", {}, index.text, index.interval ? make("small", { textContent: index.interval }) : "");
    const row = make("tr", {}, make("td", {}, index.title, usual), value);
    if (fit.before) row.append(make("td", { className: differs ? "changed" : "", textContent: before ? before.text : "–" }));
    return row;
  });
  find("indices").hidden = false;
  find("indices").querySelector("th:last-child").hidden = !fit.before;
  find("indices").querySelector("tbody").replaceChildren(...rows);
  find("checks").replaceChildren(...result.checks.map((text) => make("li", { textContent: text })));
  find("fit-note").textContent = `Values with their 90 % interval; fitted in ${seconds} s.`;
  adopt(result);
  markFit();
  announce(`Fitted. ${result.indices.slice(0, 2).map((index) => `${index.title} ${index.text}`).join(", ")}.`);
}

function adopt({ marks, line_drawn }) { // what was found anew takes the place of what was found
  if (said() !== fit.asked) return;
  const was_saved = isSaved();
  for (const key of ["dimple_left", "dimple_right"]) if (doc[key]?.state === "found" && marks[key]) doc[key] = newMark(marks[key], "found");
  for (const key of ["vp", "base"]) if (!doc[key] && marks[key] && isUntouched()) doc[key] = newMark(marks[key], "found");
  if (doc.line_state === "found" && !line_drawn) doc.line = marks.spinous_line.map((mark) => newMark(mark, "found"));
  rememberFirst();
  if (was_saved) history.saved = said();
  changed();
}

function markFit() { // whether the fit shown is that of the marks shown
  if (!fitted_spine) return;
  fitted_spine.stale = said() !== fit.asked;
  if (!fit.running) showState(fitted_spine.stale ? "moved" : "ok", fitted_spine.stale ? "of the marks before" : "Up to date");
  redraw();
  scene?.redraw();
}
