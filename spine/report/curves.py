"""The spine in four drawings: from behind, from the side, its axial rotation, and from above."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spine.anatomy import ALIGNMENT_NORMS
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.measure import Curve
from spine.measure.angles import C7
from spine.observations import LineObservation
from spine.report.trace import DRAWN, REGION_COLOR, Trace
from suite.report.figure import GRID, INK, PALETTE, QUIET, Figure, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TALL = (3.5, 6.6)
SKIN = PALETTE[1]
_USUAL = PALETTE[2]
NAMED = tuple(DRAWN.index(level) for level in ("C7", "T5", "T9", "T12", "L3", "S1"))
"""Levels with a name and an interval in the view from above."""
_COBB_NORM_DEG = ALIGNMENT_NORMS["cobb"].high


def coronal_figure(
    traces: Sequence[Trace], line: LineObservation | None = None, curves: Sequence[Curve] = ()
) -> tuple[Figure, float]:
    """The spine from behind, and how many times wider than tall it is drawn."""
    width = max(55.0, 1.25 * max(float(np.abs(t.centre_interval_mm[..., 0]).max()) for t in traces))
    with drawing(*TALL, alt="The spine seen from behind, with its interval") as (figure, axes):
        first = traces[0]
        if len(traces) == 1:
            _straight_band(axes, first.centre_mm)
        axes.axvline(first.centre_mm[-1, 0], color=QUIET, lw=0.9, ls=(0, (1, 3)))
        for trace in traces:
            _curve(axes, trace, 0)
        if line is not None:
            seen = line.seen
            axes.plot(
                line.x_mm[seen],
                line.y_mm[seen],
                color=SKIN,
                lw=1.3,
                ls=(0, (4, 2)),
                label="spinous line (skin)",
            )
        for curve in curves:
            _name_curve(axes, curve, first, width)
        axes.set_xlim(-width, width)
        axes.set_xlabel("mm · left  ↔  right")
        _levels(axes, first)
        _legend(axes, traces)
    stretch = (np.ptp(axes.get_ylim()) / (TALL[1] - 0.75)) / (2 * width / (TALL[0] - 0.65))
    return figure, float(stretch)


def sagittal_figure(
    traces: Sequence[Trace], line: LineObservation | None = None, trunk_mm: float | None = None
) -> Figure:
    """The spine seen from the subject's right, front to the right, true to scale."""
    with drawing(*TALL, alt="The spine seen from the right side, with its interval") as (figure, axes):
        first = traces[0]
        axes.axvline(-first.centre_mm[-1, 2], color=QUIET, lw=0.9, ls=(0, (1, 3)))
        if trunk_mm is not None and len(traces) == 1:
            y, low, high = usual_sagittal(round(trunk_mm))
            base = first.centre_mm[-1]
            axes.fill_betweenx(
                y + base[1], low - base[2], high - base[2], color=_USUAL, alpha=0.16, lw=0, label="usual"
            )
        for trace in traces:
            _curve(axes, trace, 2, -1.0)
        if line is not None:
            seen = line.seen
            axes.plot(-line.z_mm[seen], line.y_mm[seen], color=SKIN, lw=1.3, ls=(0, (4, 2)), label="skin")
        axes.set_xlabel("mm · back  ↔  front")
        _levels(axes, first)
        _legend(axes, traces)
        _true_to_scale(axes)
    return figure


def rotation_figure(traces: Sequence[Trace], line: LineObservation | None = None) -> Figure:
    """Axial rotation over the levels; positive: spinous process to the right."""
    width = max(15.0, 1.2 * max(float(np.abs(t.axial_interval_deg).max()) for t in traces))
    with drawing(*TALL, alt="Axial rotation of every vertebra, with its interval") as (figure, axes):
        axes.axvline(0, color=QUIET, lw=0.9, ls=(0, (1, 3)))
        first = traces[0]
        for trace in traces:
            y = trace.centre_mm[:, 1]
            axes.fill_betweenx(y, *trace.axial_interval_deg, color=trace.color, alpha=0.18, lw=0)
            axes.plot(trace.axial_deg, y, color=trace.color, marker="o", ms=3.4, label=trace.label)
        if line is not None and line.rotation_seen.any():
            seen = line.rotation_seen & (line.y_mm <= first.centre_mm[0, 1] + 10)
            axes.plot(np.degrees(line.rotation_rad[seen]), line.y_mm[seen],
                color=SKIN, lw=1.3, ls=(0, (4, 2)), label="surface")  # fmt: skip
        axes.set_xlim(-width, width)
        axes.set_xlabel("deg · spinous process left  ↔  right")
        _levels(axes, first)
        _legend(axes, traces)
    return figure


def top_figure(traces: Sequence[Trace]) -> Figure:
    """The spine from above, front at the top, true to scale; short lines point to each vertebra's back."""
    from matplotlib.patches import Ellipse

    with drawing(5.4, 4.4, alt="The spine seen from above") as (figure, axes):
        for trace in traces:
            x, z = trace.centre_mm[:, 0], trace.centre_mm[:, 2]
            axes.plot(x, -z, color=trace.color if len(traces) > 1 else GRID, lw=1.4, zorder=1)
            tip = trace.centre_mm + 14 * trace.backwards
            size = np.ptp(trace.centre_interval_mm, axis=0)
            middle = trace.centre_interval_mm.mean(0)
            for i, level in enumerate(DRAWN):
                color = trace.color if len(traces) > 1 else REGION_COLOR[level[0]]
                if i in NAMED:
                    place = (middle[i, 0], -middle[i, 2])
                    axes.add_patch(Ellipse(place, size[i, 0], size[i, 2], color=color, alpha=0.12, lw=0))
                axes.plot([x[i], tip[i, 0]], [-z[i], -tip[i, 2]], color=color, lw=1.6, zorder=2)
                axes.plot(x[i], -z[i], "o", color=color, ms=5, zorder=3)
            for i in NAMED if len(traces) == 1 else ():
                aside: dict[str, Any] = {"xytext": (8, 3), "ha": "left"}
                if x[i] < x.mean():
                    aside = {"xytext": (-8, 3), "ha": "right"}
                axes.annotate(
                    DRAWN[i], (x[i], -z[i]), textcoords="offset points", fontsize=8.5, color=INK, **aside
                )
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.12)
        axes.set_xlabel("mm · left  ↔  right")
        axes.set_ylabel("mm · back  ↔  front")
        if len(traces) > 1:
            for trace in traces:
                axes.plot([], [], "o-", color=trace.color, label=trace.label)
            axes.legend(loc="best", handlelength=1.4)
    return figure


@lru_cache(maxsize=8)
def usual_sagittal(
    trunk_mm: int,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Heights over S1 and the lowest and highest -z there of upright spines with usual kyphosis and lordosis.

    Standing templates of this trunk over the corners of the bands in `spine.anatomy.ALIGNMENT_NORMS`, C7
    above S1.
    """
    kyphosis, lordosis = ALIGNMENT_NORMS["kyphosis_t1_t12"], ALIGNMENT_NORMS["lordosis_t12_s1"]
    found = []
    for k in np.linspace(kyphosis.low, kyphosis.high, 3):
        for angle in np.linspace(lordosis.low, lordosis.high, 4):
            template = standing_template(float(trunk_mm), kyphosis_deg=float(k), lordosis_deg=float(angle))
            c = forward_kinematics(template, SpinePose())[C7:, 1:3, 3]
            c = c - c[-1]
            up = c[0] / np.linalg.norm(c[0])
            found.append(np.stack([c @ up, c @ [-up[1], up[0]]], axis=1))
    top = np.median([c[0, 0] for c in found])
    y = np.linspace(0, top, 60)
    front = -np.stack([np.interp(y, c[::-1, 0] * top / c[0, 0], c[::-1, 1]) for c in found])
    return y, front.min(0), front.max(0)


def _curve(axes: Axes, trace: Trace, axis: int, sign: float = 1.0) -> None:
    y = trace.centre_mm[:, 1]
    low, high = sorted((sign * trace.centre_interval_mm[..., axis]).tolist(), key=lambda row: row[0])
    axes.fill_betweenx(y, low, high, color=trace.color, alpha=0.18, lw=0)
    axes.plot(sign * trace.centre_mm[:, axis], y, color=trace.color, marker="o", ms=3.4, label=trace.label)


def _straight_band(axes: Axes, centre: np.ndarray) -> None:
    """Where a single even curve of the usual size would stay, about the straight line from S1 to C7."""
    y = np.linspace(centre[-1, 1], centre[0, 1], 60)
    t = (y - y[0]) / (y[-1] - y[0])
    straight = centre[-1, 0] + t * (centre[0, 0] - centre[-1, 0])
    # An arc whose ends are tilted by the Cobb angle against each other: x = L tan(cobb / 2) t (1 - t).
    room = (y[-1] - y[0]) * np.tan(np.radians(_COBB_NORM_DEG / 2)) * t * (1 - t)
    axes.fill_betweenx(y, straight - room, straight + room, color=_USUAL, alpha=0.16, lw=0, label="usual")


def _name_curve(axes: Axes, curve: Curve, trace: Trace, width: float) -> None:
    if curve.cobb_deg < _COBB_NORM_DEG:
        return
    x, y, _ = trace.centre_mm[DRAWN.index(curve.apex)]
    side = 1 if curve.side == "right" else -1
    axes.annotate(
        f"{curve.cobb_deg:.0f}°\n{curve.upper}–{curve.lower}",
        (x, y),
        xytext=(side * 0.93 * width, y),
        ha="right" if side > 0 else "left",
        va="center",
        fontsize=8.5,
        color=INK,
        arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.7, "shrinkB": 4},
    )


def _true_to_scale(axes: Axes) -> None:
    """As many mm an inch across as up, keeping the heights, the drawing in the middle."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # lets the layout settle
    box = axes.get_window_extent()
    half = np.ptp(axes.get_ylim()) * box.width / box.height / 2
    middle = float(np.mean(axes.dataLim.intervalx))
    axes.set_xlim(middle - half, middle + half)
    axes.set_aspect("equal", adjustable="box")


def _levels(axes: Axes, trace: Trace) -> None:
    y = trace.centre_mm[:, 1]
    axes.set_yticks(y.tolist(), DRAWN)
    axes.tick_params(axis="y", labelsize=7.5, length=0)
    axes.set_ylim(y[-1] - 25, y[0] + 35)
    axes.grid(axis="y", alpha=0.55)


def _legend(axes: Axes, traces: Sequence[Trace]) -> None:
    options: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "handlelength": 1.5}
    axes.legend(ncols=3, columnspacing=1.0, borderaxespad=0.2, **options)
