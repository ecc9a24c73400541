
// What the page knows, and small helpers. All scripts of the page share one scope.
const cameras = new Map(); // name -> {zones, look, health, tile}
const find = (id) => document.getElementById(id);
const HEALTH = {
  live: ["ok", "Live"], starting: ["", "Starting"], reconnecting: ["warn", "Reconnecting"],
  ended: ["done", "Ended"], failed: ["bad", "Failed"],
};
const STATES = { up: "", suspected: "may have fallen", fallen: "fallen", ignored: "in a zone" };

function make(tag, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (data) Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

async function ask(address, options = {}) {
  const response = await fetch(address, { credentials: "same-origin", ...options });
  if (response.status === 401) location.reload(); // the token has changed: the door asks for it
  const text = await response.text();
  let body = {};
  try { body = JSON.parse(text); } catch { body = { error: text.trim() }; }
  if (!response.ok) throw new Error(body.error || `the watch answered ${response.status}`);
  return body;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

function when(unix_s) {
  const then = new Date(unix_s * 1000);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 864e5);
  const day = days === 0 ? "" : days === 1 ? "yesterday, " : `${DAY.format(then)}, `;
  return day + CLOCK.format(then);
}

function lasting(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function showPill(element, kind, text) {
  const name = `pill ${kind}`.trim();
  if (element.className !== name) element.className = name;
  if (element.textContent !== text) element.textContent = text;
}
