"""An interactive 3D scene of meshes, lines and labelled points, drawn by plotly.js inside a page.

Axes of the data: x right, y up, z towards a viewer behind (the body frame, and glTF's). Plotly turns scenes
about its own z, so coordinates are handed over as (x, -z, y): the scene stands upright and never rolls.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from suite.report.metric import format_number

if TYPE_CHECKING:
    from suite.geometry.mesh import Mesh

# Where the eye stands, in the data's axes.
BODY_VIEWS: dict[str, tuple[float, float, float]] = {
    "Oblique": (0.62, 0.22, 0.75),
    "Back": (0.0, 0.0, 1.0),
    "Side": (1.0, 0.0, 0.0),
    "Top": (0.0, 1.0, 0.0),
}
DIVERGING = ((0.0, "#2166ac"), (0.25, "#8fbcdb"), (0.5, "#f4f1ea"), (0.75, "#f0a582"), (1.0, "#b2182b"))
# gl-mesh3d reads this in clip space, so the light turns with the camera: over the viewer's left shoulder.
_LIGHT = {"x": -50, "y": 70, "z": 0}
_LIGHTING = {"ambient": 0.5, "diffuse": 0.62, "specular": 0.12, "roughness": 0.55, "fresnel": 0.05}


@dataclass
class _Layer:
    name: str
    color: str
    opacity: float | int
    visible: bool
    traces: list[int]


class View3D:
    """A scene built layer by layer; each layer has a switch, and a slider where it is translucent.

    `views` names the camera buttons and says where each one's eye stands; the first is where the scene opens.
    """

    def __init__(
        self,
        views: Mapping[str, Sequence[float | int]] = BODY_VIEWS,
        height_px: int = 620,
        alt: str = "Interactive 3D scene",
    ) -> None:
        if not views:
            raise ValueError("a 3D scene needs at least one view")
        self.views = dict(views)
        self.height_px = height_px
        self.alt = alt
        self._traces: list[dict[str, Any]] = []
        self._layers: dict[str, _Layer] = {}
        self._scales: list[str] = []
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)

    def meshes(
        self,
        layer: str,
        meshes: Sequence[Mesh],
        color: str = "#e6d9bd",
        opacity: float | int = 1.0,
        visible: bool = True,
    ) -> None:
        """Add meshes; a mesh's name shows under the pointer. Translucent ones let the pointer through.

        A mesh with vertex colours keeps them; `color` is any CSS colour for the others.
        """
        if not 0 < opacity <= 1:
            raise ValueError(f"opacity is in (0, 1], got {opacity}")
        for mesh in meshes:
            trace = self._mesh_trace(mesh) | {"opacity": opacity, "color": color}
            if mesh.vertex_colors is not None:
                trace["vertexcolor"] = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in mesh.vertex_colors.tolist()]
            self._add(layer, trace, mesh.vertices, color, opacity, visible)

    def heat(
        self,
        layer: str,
        mesh: Mesh,
        values: Float[np.ndarray, " n"],
        label: str,
        limit: float | int | None = None,
        visible: bool = True,
    ) -> None:
        """Add a mesh coloured by signed `values` per vertex, blue below zero, red above, with a colour bar.

        `limit` is the value at which the colour is full (by default the 98th percentile of the magnitudes).
        """
        values = np.asarray(values, dtype=float)
        if values.shape != (len(mesh.vertices),):
            raise ValueError(f"{values.shape} values for {len(mesh.vertices)} vertices")
        if limit is None:
            limit = float(np.nanpercentile(np.abs(values), 98)) or 1.0
        trace = self._mesh_trace(mesh) | {
            "intensity": _packed(np.nan_to_num(values)),
            "cmin": -limit,
            "cmax": limit,
            "colorscale": [list(stop) for stop in DIVERGING],
            "showscale": False,  # drawn by the page instead: legible on a phone, and on paper
            "hovertemplate": "%{intensity:.2f}<extra></extra>",
        }
        ramp = f"linear-gradient(90deg, {', '.join(color for _, color in DIVERGING)})"
        self._add(layer, trace, mesh.vertices, ramp, 1.0, visible)
        self._scales.append(
            f'<p class="scale">{escape(label)} <span>{format_number(-limit)}</span>'
            f'<span class="ramp" style="background:{ramp}"></span><span>{format_number(limit)}</span></p>'
        )

    def line(
        self,
        layer: str,
        points: Float[np.ndarray, "n 3"],
        color: str = "#d55e00",
        width_px: int = 5,
        dash: str = "solid",
        name: str = "",
        visible: bool = True,
    ) -> None:
        """Add a line through the points; `dash` is solid, dash or dot. A NaN row breaks the line."""
        trace = _scatter_trace(points, name or layer) | {
            "mode": "lines",
            "line": {"color": color, "width": width_px, "dash": dash},
        }
        self._add(layer, trace, points, color, 1.0, visible)

    def points(
        self,
        layer: str,
        points: Float[np.ndarray, "n 3"],
        labels: Sequence[str] = (),
        color: str = "#0072b2",
        size_px: int = 6,
        show_labels: bool = True,
        visible: bool = True,
    ) -> None:
        """Add points; `labels` (one each, or none) stand beside them, or only under the pointer."""
        if labels and len(labels) != len(points):
            raise ValueError(f"{len(labels)} labels for {len(points)} points")
        trace = _scatter_trace(points, layer) | {
            "mode": "markers+text" if labels and show_labels else "markers",
            "marker": {"color": color, "size": size_px, "line": {"width": 1, "color": "#ffffff"}},
        }
        if labels:
            trace |= {"text": [escape(label) for label in labels], "textposition": "middle right"}
            trace |= {"hovertemplate": "%{text}<extra></extra>"}
        self._add(layer, trace, points, color, 1.0, visible)

    def to_html(self, prefix: str) -> str:
        """The scene's controls, canvas and data; the page adds the scripts once. ValueError if empty."""
        if not self._traces:
            raise ValueError("the 3D scene is empty")
        buttons = "".join(
            f'<button type="button" data-view="{escape(name)}">{escape(name)}</button>' for name in self.views
        )
        switches = "".join(self._switch_html(layer) for layer in self._layers.values())
        data = json.dumps(self.scene(), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f'<div class="view3d" id="{prefix}">'
            f'<div class="bar"><div class="views" role="group" aria-label="Point of view">{buttons}'
            '<button type="button" data-zoom="0.8" aria-label="Closer">+</button>'
            '<button type="button" data-zoom="1.25" aria-label="Further">−</button></div>'
            f'<div class="layers" role="group" aria-label="Layers">{switches}</div></div>'
            f'<div class="stage" style="height:{self.height_px}px" role="img" '
            f'aria-label="{escape(self.alt)}"></div>'
            f"{''.join(self._scales)}"
            '<p class="trouble" hidden>This scene needs a browser with WebGL and scripts allowed.</p>'
            f'<script type="application/json">{data}</script></div>'
        )

    def scene(self) -> dict[str, Any]:
        """JSON-ready traces, layers, views and bounds, as `view3d.js` reads them (plotly's axes)."""
        middle, extent = (self._low + self._high) / 2, np.maximum(self._high - self._low, 1e-6)
        middle, extent = _turned(middle[None])[0], np.abs(_turned(extent[None])[0])
        return {
            "traces": self._traces,
            "layers": [
                {"name": layer.name, "traces": layer.traces, "visible": layer.visible}
                for layer in self._layers.values()
            ],
            "views": {name: _turned(np.array([eye], float))[0].tolist() for name, eye in self.views.items()},
            "ranges": np.stack([middle - extent / 2, middle + extent / 2], axis=1).tolist(),
            "aspect": (extent / extent.max()).tolist(),
        }

    def _add(
        self,
        layer: str,
        trace: dict[str, Any],
        points: Float[np.ndarray, "n 3"],
        color: str,
        opacity: float | int,
        visible: bool,
    ) -> None:
        finite = np.asarray(points, float)
        finite = finite[np.isfinite(finite).all(axis=1)]
        if not len(finite):
            raise ValueError(f"nothing to draw in layer {layer!r}: no finite point")
        self._low = np.minimum(self._low, finite.min(axis=0))
        self._high = np.maximum(self._high, finite.max(axis=0))
        entry = self._layers.setdefault(layer, _Layer(layer, color, opacity, visible, []))
        entry.traces.append(len(self._traces))
        self._traces.append(trace | {"visible": entry.visible})

    def _mesh_trace(self, mesh: Mesh) -> dict[str, Any]:
        x, y, z = _turned(np.asarray(mesh.vertices, float)).T
        kind = np.uint16 if len(mesh.vertices) <= 1 << 16 else np.uint32
        i, j, k = np.asarray(mesh.faces).astype(kind).T
        arrays = {name: _packed(values) for name, values in zip("xyz", (x, y, z), strict=True)}
        arrays |= {name: _packed(values) for name, values in zip("ijk", (i, j, k), strict=True)}
        name = escape(mesh.name)
        return (
            {"type": "mesh3d", "name": name, "hovertemplate": f"{name}<extra></extra>"}
            | arrays
            | {
                "lighting": _LIGHTING,
                "lightposition": _LIGHT,
                "flatshading": False,
            }
        )

    @staticmethod
    def _switch_html(layer: _Layer) -> str:
        name = escape(layer.name)
        checked = " checked" if layer.visible else ""
        slider = ""
        if layer.opacity < 1:
            slider = (
                f'<input type="range" min="0.05" max="1" step="0.05" value="{layer.opacity:g}" '
                f'data-layer="{name}" aria-label="Opacity of {name}">'
            )
        return (
            f'<label><input type="checkbox" data-layer="{name}"{checked}>'
            f'<span class="swatch" style="background:{escape(layer.color)}"></span>{name}</label>{slider}'
        )


def plotly_scripts() -> str:
    """plotly.js from the installed package and the suite's own `view3d.js`, to be inlined once per page."""
    from plotly.offline import get_plotlyjs

    own = files("suite.report").joinpath("view3d.js").read_text(encoding="utf-8")
    # A closing script tag inside a string constant would end the script there.
    codes = (code.replace("</script", r"<\/script") for code in (get_plotlyjs(), own))
    return "".join(f"<script>{code}</script>" for code in codes)


def _scatter_trace(points: Float[np.ndarray, "n 3"], name: str) -> dict[str, Any]:
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points are n x 3, got {points.shape}")
    arrays = {axis: _packed(values) for axis, values in zip("xyz", _turned(points).T, strict=True)}
    trace = {"type": "scatter3d", "name": escape(name), "hovertemplate": f"{escape(name)}<extra></extra>"}
    return trace | arrays


def _turned(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """(x right, y up, z near) -> plotly's (x right, y away, z up)."""
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def _packed(values: np.ndarray) -> dict[str, str]:
    """A typed array as plotly.js reads it: little-endian bytes in base64, floats as float32."""
    codes = {"f": "<f4", "u2": "<u2", "u4": "<u4"}
    code = codes["f"] if values.dtype.kind == "f" else codes[f"u{values.dtype.itemsize}"]
    return {"dtype": code[1:], "bdata": base64.b64encode(values.astype(code).tobytes()).decode("ascii")}
