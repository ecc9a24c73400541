// Draws every .view3d block of the page with plotly.js: camera buttons, layer switches, opacity sliders.
"use strict";
(() => {
  const HALF_FIELD = Math.tan(Math.PI / 8); // plotly's field of view is 45 degrees
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function start(block) {
    const stage = block.querySelector(".stage");
    const scene = JSON.parse(block.querySelector("script").textContent);
    const [ax, ay, az] = scene.aspect;
    const names = Object.keys(scene.views);

    // The nearest eye on this side from which every corner of the scene's box is inside the frame.
    function camera(name) {
      let [x, y, z] = scene.views[name];
      if (Math.hypot(x, y) < 1e-3 * Math.abs(z)) y -= 1e-3 * Math.abs(z); // straight down: keep x to the right
      const length = Math.hypot(x, y, z), flat = Math.hypot(x, y) / length;
      x /= length; y /= length; z /= length;
      const across = [-y / flat, x / flat, 0], upward = [-x * z / flat, -y * z / flat, flat];
      const frame = stage.clientWidth / stage.clientHeight;
      let reach = 0;
      for (const sx of [-0.5, 0.5]) for (const sy of [-0.5, 0.5]) for (const sz of [-0.5, 0.5]) {
        const corner = [sx * ax, sy * ay, sz * az];
        const along = (axis) => corner[0] * axis[0] + corner[1] * axis[1] + corner[2] * axis[2];
        const spread = Math.max(Math.abs(along(upward)), Math.abs(along(across)) / frame);
        reach = Math.max(reach, along([x, y, z]) + 1.06 * spread / HALF_FIELD);
      }
      return {
        eye: {x: x * reach, y: y * reach, z: z * reach},
        center: {x: 0, y: 0, z: 0}, up: {x: 0, y: 0, z: 1}, projection: {type: "perspective"},
      };
    }

    const hidden = (range) => ({visible: false, showspikes: false, range, autorange: false});
    const ink = () => getComputedStyle(block).getPropertyValue("--ink").trim();
    const layout = {
      autosize: true, margin: {l: 0, r: 0, t: 0, b: 0}, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", font: {family: getComputedStyle(block).fontFamily, color: ink(), size: 12},
      hoverlabel: {bgcolor: "#1e2833", font: {color: "#ffffff", size: 13}, bordercolor: "#1e2833"},
      scene: {
        xaxis: hidden(scene.ranges[0]), yaxis: hidden(scene.ranges[1]), zaxis: hidden(scene.ranges[2]),
        aspectmode: "manual", aspectratio: {x: ax, y: ay, z: az}, dragmode: "turntable",
        bgcolor: "rgba(0,0,0,0)", camera: camera(names[0]),
      },
    };
    for (const trace of scene.traces) if (trace.type === "scatter3d") trace.textfont = {color: ink(), size: 12};
    const options = {displayModeBar: false, responsive: true};

    // A translucent layer must not catch the pointer for what lies behind it.
    function letPointerThrough() {
      const drawn = stage._fullLayout?.scene?._scene?.traces ?? {};
      for (const one of Object.values(drawn)) {
        if (one.data?.opacity < 1 && one.mesh) one.mesh.drawPick = null;
      }
    }
    // Browsers print a WebGL canvas blank: paper gets a copy of it, taken right after it was drawn.
    const paper = document.createElement("canvas");
    paper.className = "paper";
    function copyForPaper() {
      const drawn = stage.querySelector("canvas");
      if (!drawn) return;
      stage._fullLayout.scene._scene.glplot.redraw();
      [paper.width, paper.height] = [drawn.width, drawn.height];
      paper.getContext("2d").drawImage(drawn, 0, 0);
      stage.after(paper);
      block.classList.add("copied");
    }
    const mark = (name) => block.querySelectorAll("[data-view]").forEach(
      (button) => button.setAttribute("aria-pressed", String(button.dataset.view === name)));
    const look = (value) => Plotly.relayout(stage, {"scene.camera": value});
    const indices = (name) => scene.layers.find((layer) => layer.name === name).traces;

    Plotly.newPlot(stage, scene.traces, layout, options).then(() => {
      block.classList.add("ready");
      mark(names[0]);
      letPointerThrough();
      stage.on("plotly_relayouting", () => mark(null));
      stage.on("plotly_restyle", letPointerThrough);
      window.addEventListener("beforeprint", copyForPaper);
    }).catch(() => { block.querySelector(".trouble").hidden = false; });

    block.addEventListener("click", (event) => {
      const {view, zoom} = event.target.dataset;
      if (view) look(camera(view)).then(() => mark(view));
      if (zoom) {
        const now = structuredClone(stage._fullLayout.scene._scene.getCamera());
        for (const axis of "xyz") now.eye[axis] *= Number(zoom);
        look(now);
      }
    });
    block.addEventListener("input", (event) => {
      const {layer} = event.target.dataset;
      if (!layer) return;
      if (event.target.type === "range") Plotly.restyle(stage, {opacity: Number(event.target.value)}, indices(layer));
      else Plotly.restyle(stage, {visible: event.target.checked}, indices(layer));
    });
    // The wheel scrolls the page until the scene has been touched, then it zooms until the pointer leaves.
    let held = false;
    stage.addEventListener("pointerdown", () => { held = true; });
    stage.addEventListener("pointerleave", () => { held = false; });
    stage.addEventListener("wheel", (event) => { if (!held) event.stopPropagation(); }, {capture: true});
    dark.addEventListener("change", () => {
      const texts = scene.traces.flatMap((trace, index) => trace.type === "scatter3d" ? [index] : []);
      Plotly.relayout(stage, {"font.color": ink()});
      if (texts.length) Plotly.restyle(stage, {"textfont.color": ink()}, texts);
    });
  }

  document.querySelectorAll(".view3d").forEach((block) => {
    try {
      start(block);
    } catch (error) {
      block.querySelector(".trouble").hidden = false;
      throw error;
    }
  });
})();
