// What the pages of all models share: what went wrong, the model's bytes, figures, buttons and letters.
// For tests: __ready, __errors and, by each page, __controls and __setCamera.
"use strict";

window.__ready = false;
window.__errors = [];
window.addEventListener("error", (event) => { window.__errors.push(event.message); tell("This model cannot be shown", event.message); });
window.addEventListener("unhandledrejection", (event) => {
  window.__errors.push(String(event.reason));
  tell("This model cannot be shown", event.reason?.message ?? String(event.reason));
});

const FOV = Math.PI / 6.5, TURN_S = 24, MOST_DENSE = 2;
const GROUNDS = ["paper", "white", "slate", "night"];
const element = (id) => document.getElementById(id);
const matches = (query) => window.matchMedia(query).matches;
const spokenCount = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");
const firstGround = () => (matches("(prefers-color-scheme: dark)") ? "night" : "paper");
const next = (all, now) => all[(all.indexOf(now) + 1) % all.length];

function tell(title, text) {
  const place = element("trouble");
  place.querySelector("strong").textContent = title;
  place.querySelector("span").textContent = text;
  place.hidden = false;
  element("waiting").hidden = true;
}

// WebGL 2 on the canvas; null where there is none, which is said with what can be done all the same.
function openGl(canvas, attributes, otherwise = "") {
  const gl = canvas.getContext("webgl2", {alpha: true, premultipliedAlpha: true, ...attributes});
  if (!gl) tell("This browser shows no 3D", `The page needs WebGL 2: update the browser, or switch on its hardware acceleration.${otherwise}`);
  canvas.addEventListener("webglcontextlost", () => tell("The graphics processor gave up", "Load the page again."));
  return gl;
}

function modelBytes() {
  const place = element("model"), text = place.textContent;
  place.remove();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

function spokenBytes(count) {
  return count >= 1e6 ? `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} MB` : `${Math.max(1, Math.round(count / 1e3))} kB`;
}

// Figures under the name: [what it is, for ears, and what it says].
function sayFigures(rows) {
  element("figures").replaceChildren(...rows.flatMap(([name, value]) => ["dt", "dd"].map((kind, i) => {
    const cell = document.createElement(kind);
    cell.textContent = i ? value : name;
    return cell;
  })));
}

function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
}

// The canvas as large as a camera's picture, alone on the page.
function alone(canvas, {width, height}) {
  document.body.classList.add("exact");
  [canvas.width, canvas.height] = [width, height];
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
}

// Shows the buttons, and does what they and letters ask for: `acts` {id of a button: [letter, what it does]} beside
// the turntable and the way back, `choose` hears {ground: "night"} or whatever else a group has to choose from.
function furnish(controls, choose, acts = {}) {
  const turn = () => turnTable(controls, !controls.spin), reset = () => { turnTable(controls, false); controls.reset(); };
  const all = Object.entries({turn: ["t", turn], reset: ["r", reset], ...acts});
  const byLetter = Object.fromEntries(all.map(([, act]) => act));
  for (const [id, [, act]] of all) element(id)?.addEventListener("click", act);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape") element("help").open = false;
    if (!event.ctrlKey && !event.metaKey && !event.altKey) byLetter[event.key.toLowerCase()]?.();
  });
  for (const group of document.querySelectorAll("[role=radiogroup]")) {
    const buttons = [...group.querySelectorAll("button")];
    const take = (button) => { choose({...button.dataset}); button.focus({preventScroll: true}); };
    for (const button of buttons) button.addEventListener("click", () => take(button));
    group.addEventListener("keydown", (event) => {
      const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!way) return;
      event.preventDefault();
      take(buttons[(buttons.indexOf(document.activeElement) + way + buttons.length) % buttons.length]);
    });
  }
  element("waiting").hidden = true;
  element("bar").hidden = false;
}

function turnTable(controls, on) {
  controls.spin = on ? 2 * Math.PI / TURN_S : 0;
  element("turn").setAttribute("aria-pressed", String(on));
}

// Marks what is chosen, of each group that `state` names.
function mark(state) {
  document.documentElement.dataset.ground = state.ground;
  for (const [kind, chosen] of Object.entries(state)) for (const button of document.querySelectorAll(`button[data-${kind}]`)) {
    const isChosen = button.dataset[kind] === chosen;
    button.setAttribute("aria-checked", String(isChosen));
    button.tabIndex = isChosen ? 0 : -1; // one stop for the tabulator; arrows go on from there
  }
}
