// Beginning, layers, keys, saving.
let saved_at = "";
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

async function save() {
  if (lacking()) { trouble(lacking()); return; }
  const marks = message(), key = said();
  try {
    const { file } = await ask("save", { marks });
    history.saved = key;
    saved_at = CLOCK.format(new Date());
    trouble("");
    const left = doc.line_state === "found" ? " The line is not accepted: a fit finds it anew." : "";
    announce(`Saved ${file}.${left}`);
    find("standing").title = `${file}.${left}`;
  } catch (error) {
    trouble(error.message);
  }
  updatePanel();
}

function buildLayers() {
  const shown = LAYERS.filter(([name]) => name === "spine" || layers[name].image);
  find("layers").replaceChildren(...shown.map(([name, title]) => {
    const layer = layers[name], apply = () => (name === "spine" ? (redraw(), scene?.redraw()) : blendPictures());
    const button = make("button", { type: "button", textContent: title, onclick: () => { layer.on = !layer.on; show(); apply(); } });
    button.dataset.layer = name;
    const slider = make("input", { type: "range", min: "5", max: "100", value: String(100 * layer.opacity), oninput: () => { layer.opacity = slider.value / 100; apply(); } });
    slider.setAttribute("aria-label", `${title}: how strong`);
    const show = () => { button.setAttribute("aria-pressed", String(layer.on)); slider.disabled = !layer.on; };
    show();
    return make("div", { className: "layer" }, button, slider);
  }));
}

function keyAnywhere(event) {
  const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
  if (command && key === "s") save();
  else if (command && (key === "y" || key === "z" && event.shiftKey)) { if (!dragging && redo()) announce("Done again."); }
  else if (command && key === "z") { if (!dragging && undo()) announce("Undone."); }
  else if (command || event.altKey || find("keys").open) return;
  else if (event.target.matches?.("input[type=range], input[type=text]")) return;
  else if (key === "r") refit();
  else if (key === "0") showWhole();
  else if (key === "+" || key === "=") zoomAt(1.25);
  else if (key === "-") zoomAt(0.8);
  else if (key === "?") find("keys").showModal();
  else if ("1234".includes(key) && key) find("layers").querySelectorAll("button")[Number(key) - 1]?.click();
  else return;
  event.preventDefault();
}

function listenToPage() {
  find("undo").onclick = undo;
  find("redo").onclick = redo;
  find("save").onclick = save;
  find("refit").onclick = refit;
  find("help").onclick = () => find("keys").showModal();
  find("keys-close").onclick = () => find("keys").close();
  find("zoom-in").onclick = () => zoomAt(1.25);
  find("zoom-out").onclick = () => zoomAt(0.8);
  find("zoom-fit").onclick = showWhole;
  addEventListener("keydown", keyAnywhere);
  addEventListener("beforeunload", (event) => { if (!isSaved()) event.preventDefault(); });
  new ResizeObserver(resizeView).observe(view.canvas);
}

async function begin() {
  facts = await ask("state.json");
  skin = new Skin(facts.grid, await (await fetch("heights.bin")).arrayBuffer());
  await loadPictures();
  find("name").textContent = facts.name;
  loadMarks(facts.marks, facts.given);
  rememberFirst();
  let before = said();
  listeners.push(updateHandles, updatePanel, redraw, rememberFirst, markFit, () => {
    const now = said();
    if (now !== before && find("always").checked && !dragging && now !== fit.asked) refit();
    if (!dragging) before = now;
  });
  buildLayers();
  listenToPicture();
  listenToPanel();
  listenToPage();
  view.dirty = false;
  resizeView();
  openScene();
  blendPictures();
  changed();
  if (facts.trouble) trouble(`Nothing was found: ${facts.trouble}. Place VP and the base yourself.`);
  else if (facts.flags.length) find("fit-note").textContent = facts.flags[0];
  document.documentElement.dataset.ready = "true";
  await scene?.loadBones();
}

begin().catch((error) => { trouble(error.message); throw error; });
