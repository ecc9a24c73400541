
// Tiles, and the one connection that brings pictures and health.
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const SILENT_MS = 12000; // the watch speaks every second
let socket = null;
let tries = 0;
let heardAt = performance.now();
let changesSeen = -1;
const seen = new Set(); // cameras whose tiles are on the screen

const onScreen = new IntersectionObserver((entries) => {
  for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.dataset.camera);
  choosePictures();
}, { rootMargin: "100px" });

function stageParts(stage) {
  const frame = stage.querySelector(".frame");
  return {
    stage, frame, image: frame.querySelector("img"), zones: frame.querySelector(".zones"),
    people: frame.querySelector(".people"), waiting: frame.querySelector(".waiting"), url: "",
  };
}

function makeTile(name) {
  const frame = make("div", { className: "frame" },
    make("img", { alt: "", hidden: true }),
    makeSvg("svg", { class: "zones", viewBox: "0 0 1 1", preserveAspectRatio: "none" }),
    make("div", { className: "people" }), make("p", { className: "waiting", textContent: "Waiting for a picture" }));
  const stage = make("div", { className: "stage" }, frame);
  const open = make("button", { className: "open", type: "button", ariaLabel: `Look at ${name}` }, stage);
  const pill = make("p", { className: "pill" });
  const zones = make("button", { type: "button", textContent: "Zones", ariaLabel: `Zones of ${name}` });
  const why = make("p", { className: "why" });
  const element = make("article", { className: "tile", data: { camera: name } },
    open, make("div", { className: "caption" }, make("h3", { textContent: name }), pill, zones), why);
  open.addEventListener("click", () => openViewer(name));
  zones.addEventListener("click", () => openViewer(name));
  onScreen.observe(element);
  find("tiles").append(element);
  return { element, pill, why, open, parts: stageParts(stage) };
}

function showLook(parts, look) {
  const fresh = new Image();
  const url = URL.createObjectURL(new Blob([look.jpeg], { type: "image/jpeg" }));
  fresh.src = url;
  return fresh.decode().then(() => {
    const old = parts.url;
    parts.url = url;
    parts.image.src = url;
    parts.image.hidden = false;
    parts.frame.style.setProperty("--ratio", look.size_px[0] / look.size_px[1]);
    showPeople(parts.people, look);
    if (old) URL.revokeObjectURL(old);
  }).catch(() => URL.revokeObjectURL(url));
}

function showPeople(layer, look) {
  const [width, height] = look.size_px;
  const boxes = look.people.map((person) => {
    const [x1, y1, x2, y2] = person.box.map((edge, k) => Math.min(1, Math.max(0, edge / (k % 2 ? height : width))));
    const word = STATES[person.state] ?? person.state;
    const box = make("div", { className: `person ${person.state}` });
    if (word) box.append(make("span", { textContent: person.state === "ignored" ? word : `${word} ${Math.round(100 * person.fallen)} %` }));
    box.classList.toggle("high", y1 < 0.1);
    box.classList.toggle("right", x1 > 0.72);
    box.style.left = `${100 * x1}%`;
    box.style.top = `${100 * y1}%`;
    box.style.width = `${100 * (x2 - x1)}%`;
    box.style.height = `${100 * (y2 - y1)}%`;
    return box;
  });
  layer.replaceChildren(...boxes);
}

function showZones(layer, zones) {
  layer.replaceChildren(...zones.map((zone) =>
    makeSvg("polygon", { points: zone.polygon.map((point) => point.join(",")).join(" "), class: zone.fixed ? "fixed" : "" })));
}

function describe(name, look) {
  const fallen = look.people.filter((person) => person.state === "fallen").length;
  const people = look.people.length === 1 ? "1 person" : `${look.people.length} people`;
  return `${name}: ${look.people.length ? people : "nobody"}${fallen ? `, ${fallen} fallen` : ""}`;
}

async function receive(packet) {
  const length = new DataView(packet).getUint32(0);
  const look = JSON.parse(new TextDecoder().decode(new Uint8Array(packet, 4, length)));
  look.jpeg = new Uint8Array(packet, 4 + length);
  const camera = cameras.get(look.camera);
  if (!camera) return;
  camera.look = look;
  camera.tile.parts.image.alt = describe(look.camera, look);
  camera.tile.element.classList.toggle("alarming", look.people.some((person) => person.state === "fallen"));
  const shown = [showLook(camera.tile.parts, look)];
  if (viewed() === look.camera) shown.push(showLook(viewer.parts, look));
  await Promise.all(shown);
  say({ got: look.camera });
}

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function choosePictures() {
  const wanted = {};
  const large = viewed();
  const dense = Math.min(2, window.devicePixelRatio || 1);
  if (!document.hidden) {
    for (const name of large ? [large] : seen) {
      const stage = large ? viewer.parts.stage : cameras.get(name).tile.parts.stage;
      wanted[name] = Math.max(160, Math.round(stage.clientWidth * dense));
    }
  }
  say({ watch: wanted });
}

function showHealth(health) {
  for (const [name, camera] of cameras) {
    const state = health.cameras[name] || { state: "starting", why: "" };
    const [kind, word] = HEALTH[state.state] || ["warn", state.state];
    const { pill, why, parts, element } = camera.tile;
    camera.health = state;
    showPill(pill, kind, word);
    const reason = state.state === "live" ? "" : state.why || "";
    if (why.textContent !== reason) why.textContent = reason;
    const age_s = camera.look ? Date.now() / 1000 - camera.look.unix_s : 0;
    parts.stage.classList.toggle("stale", state.state !== "live" && state.state !== "ended");
    element.title = camera.look && state.state !== "live" ? `The last picture is ${lasting(age_s)} old` : "";
    parts.waiting.textContent = state.state === "failed" ? "No picture" : "Waiting for a picture";
    if (viewed() === name) {
      showPill(find("viewer-health"), kind, word);
      viewer.parts.stage.classList.toggle("stale", state.state !== "live" && state.state !== "ended");
    }
  }
  const [short, ...troubles] = health.line.split("; ");
  const elsewhere = troubles.filter((trouble) => ![...cameras.keys()].some((name) => trouble.startsWith(`${name} `)));
  showPill(find("overall"), health.state === "ok" ? "ok" : "bad", short);
  if (find("troubles").textContent !== elsewhere.join("; ")) find("troubles").textContent = elsewhere.join("; ");
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => { tries = 0; choosePictures(); });
  socket.addEventListener("message", (event) => {
    heardAt = performance.now();
    document.body.classList.remove("lost");
    if (typeof event.data !== "string") { receive(event.data); return; }
    const said = JSON.parse(event.data);
    showHealth(said.health);
    if (said.changes !== changesSeen) { changesSeen = said.changes; refresh(); }
  });
  socket.addEventListener("close", () => {
    lost();
    setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  });
}

function lost() {
  document.body.classList.add("lost");
  showPill(find("overall"), "bad", "The page has lost the watch; trying again");
}

setInterval(() => {
  if (performance.now() - heardAt < SILENT_MS) return;
  lost();
  if (socket && socket.readyState === WebSocket.OPEN) socket.close();
}, 2000);
