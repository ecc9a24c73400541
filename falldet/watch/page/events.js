
// Alarms that are open, the list of events, clips, and a sound for who is not looking.
const SIGNS = { confirmed: "!", recovered: "↑", lost: "?" };
const STEP = 30;
let limit = STEP;
let sounding = null; // the audio of this page, once somebody has asked for it
let openAlarms = null; // ids; null before the first answer, whose alarms are told without a sound

function isOpen(event) { return event.state === "confirmed" && event.ended_unix_s == null; }

function outcome(event) {
  const after = event.ended_unix_s == null ? "" : ` after ${lasting(event.ended_unix_s - event.onset_unix_s)}`;
  if (isOpen(event)) return "Fallen";
  if (event.state === "recovered") return `Fell, got up${after}`;
  return event.state === "lost" ? `Fell, out of sight${after}` : `Fell, ended${after}`;
}

function eventRow(event) {
  const row = make("li", { className: isOpen(event) ? "open" : event.state },
    make("span", { className: "sign", ariaHidden: "true", textContent: SIGNS[event.state] || "·" }),
    make("b", { textContent: event.camera }),
    make("span", { className: "outcome", textContent: outcome(event) }),
    make("small", {}, make("time", { dateTime: new Date(event.onset_unix_s * 1000).toISOString(), textContent: when(event.onset_unix_s) }),
      ` · certainty ${Math.round(100 * event.confidence)}\u00a0%`));
  if (event.clip) {
    const play = make("button", { type: "button", textContent: "Clip", ariaLabel: `Clip of ${event.camera}, ${when(event.onset_unix_s)}` });
    play.addEventListener("click", () => playClip(event));
    row.append(play);
  }
  return row;
}

function showAlarms(events) {
  const open = events.filter(isOpen);
  const box = find("alarms");
  const ids = open.map((event) => event.id).join(" ");
  if (box.dataset.ids !== ids) {
    box.dataset.ids = ids;
    box.replaceChildren(...open.map((event) => {
      const look = make("button", { type: "button", textContent: "Look" });
      look.addEventListener("click", () => openViewer(event.camera));
      return make("div", { className: "alarm" }, make("strong", { textContent: `Fall: ${event.camera}` }),
        make("span", { textContent: `since ${when(event.onset_unix_s)}` }), look);
    }));
  }
  document.title = open.length ? `● Fall: ${open[0].camera} – falldet watch` : "falldet watch";
  const now = new Set(open.map((event) => event.id));
  if (openAlarms && [...now].some((id) => !openAlarms.has(id))) beep();
  openAlarms = now;
}

async function refresh() {
  try {
    const chosen = find("filter").value;
    const all = (await ask(`/api/events?limit=${limit}`)).events;
    const events = chosen ? (await ask(`/api/events?limit=${limit}&camera=${encodeURIComponent(chosen)}`)).events : all;
    showAlarms(all);
    find("events").replaceChildren(...events.map(eventRow));
    find("no-events").hidden = events.length > 0;
    find("older").hidden = events.length < limit;
    const saves = viewer.saves, known = (await ask("/api/cameras")).cameras;
    if (saves !== viewer.saves) return; // asked before zones were saved here: what came may be older
    for (const { name, zones } of known) {
      const camera = cameras.get(name);
      camera.zones = zones;
      showZones(camera.tile.parts.zones, zones);
    }
    zonesChanged();
  } catch (error) {
    showPill(find("overall"), "bad", error.message);
  }
}

function playClip(event) {
  const dialog = find("clip");
  const video = dialog.querySelector("video");
  const address = `/clips/${encodeURIComponent(event.id)}.mp4`;
  find("clip-title").textContent = `${event.camera}, ${when(event.onset_unix_s)}`;
  find("clip-save").href = address;
  video.src = address;
  dialog.showModal();
  video.play().catch(() => {}); // a browser may want the person to press play
}

find("clip-close").addEventListener("click", () => find("clip").close());
find("clip").addEventListener("close", () => { const video = find("clip").querySelector("video"); video.pause(); video.removeAttribute("src"); video.load(); });
find("filter").addEventListener("change", () => { limit = STEP; refresh(); });
find("older").addEventListener("click", () => { limit += 2 * STEP; refresh(); });

find("sound").addEventListener("click", () => {
  const button = find("sound");
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", on);
  button.textContent = on ? "Sound on" : "Sound off";
  sounding?.close();
  sounding = on ? new AudioContext() : null;
  beep(0.12);
});

function beep(loudness = 0.4) {
  if (!sounding) return;
  for (const [delay_s, pitch] of [[0, 880], [0.25, 660], [0.5, 880]]) {
    const tone = sounding.createOscillator(), gain = sounding.createGain(), start = sounding.currentTime + delay_s;
    tone.frequency.value = pitch;
    gain.gain.setValueAtTime(loudness, start);
    gain.gain.exponentialRampToValueAtTime(0.001, start + 0.22);
    tone.connect(gain).connect(sounding.destination);
    tone.start(start);
    tone.stop(start + 0.24);
  }
}
