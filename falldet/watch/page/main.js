
// Start: ask which cameras there are, then listen.
async function start() {
  const { cameras: known } = await ask("/api/cameras");
  for (const { name, zones } of known) {
    const tile = makeTile(name);
    cameras.set(name, { zones, tile, look: null, health: null });
    showZones(tile.parts.zones, zones);
  }
  find("filter").append(make("option", { value: "", textContent: "all cameras" }),
    ...known.map(({ name }) => make("option", { value: name, textContent: name })));
  connect();
  window.addEventListener("resize", choosePictures);
  document.addEventListener("visibilitychange", choosePictures);
}
start().catch((error) => showPill(find("overall"), "bad", `The watch does not answer: ${error.message}`));
