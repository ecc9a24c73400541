"""Trains what `spine.landmarks` has learned, on simulated backs.

    python -m spine.landmark_training --out landmarks.safetensors        (needs the extra `train`: PyTorch)

Every simulated person gives one canonical map and the true line on it. The map is taken from landmarks that
are off by as much as automatic ones (VP, base) and turned by a small yaw, so that the network does not lean
on them. In training the current line is the true one plus a smooth random walk, or a share of it on the way
from the chord. The lateral error to expect is measured per row on simulated people that were not trained on.
The heights of VP and base are learned from simulated scans with random ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from jaxtyping import Float, Float32

from spine.anchors import EndModel, end_features, ends, fit_end_model
from spine.heightmap import HeightMap, filled, rasterize
from spine.landmark_model import LandmarkModel, save_landmark_model
from spine.spinous_line import (
    COLUMNS,
    DILATIONS,
    EVEN_LIMITS,
    EVEN_SCALE,
    KERNEL,
    ODD_LIMIT,
    ODD_SCALE,
    OFFSETS,
    ROWS_U,
    STEP_SCALE,
    TRUNK_MM,
    X_SCALE,
    LineModel,
    canonical_map,
    chord,
    find_line,
    row_codes,
)
from spine.synthetic import Scan, SimulatedSubject, SubjectConfig, scan_points, simulate_subject
from spine.synthetic.scan import FACING_BACK, ScanConfig
from suite.errors import BackendUnavailable
from suite.geometry.rotations import se3_inverse, transform_points

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

LANDMARK_SD_MM = {"vp": (10.0, 9.0), "base": (9.0, 10.0)}
"""Error (x, y) of the landmarks that the map is taken from."""
YAW_SD_DEG = 2.0
TILT_SD = 0.02
"""Slope in x that is added to a map each time it is shown."""
WALK_SD_MM, WALK_LENGTHS_U = 9.0, (0.1, 0.2, 0.4, 0.8)
HIDDEN = 48
PEOPLE = SubjectConfig(
    cobb_max_deg=70.0,
    rotation_deg_per_mm=(0.25, 0.6),
    surface_rotation_ratio=(0.7, 1.8),
    hump_at_line=(0.0, 1.2),
)
"""Curves as in a scoliosis clinic, and humps from slight to strong: a model that has mostly seen straight
backs draws every line too straight."""
CUTS = 2
"""So many pieces of every scan are learned from."""
HELD_OUT = 150
FIRST_SEED = 2_000_000
AT_LEAST_20 = click.IntRange(20)


def training_pair(
    subject: SimulatedSubject, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "84 81"], Float[np.ndarray, " 84"]]:
    """Canonical map of a simulated back, seen from imperfect landmarks, and its true line (canonical mm)."""
    skin = subject.skin
    vp = subject.vp_mm[:2] + rng.normal(size=2) * LANDMARK_SD_MM["vp"]
    base = subject.base_mm[:2] + rng.normal(size=2) * LANDMARK_SD_MM["base"]
    tilt = _slope_in_x(skin, vp, base) + np.tan(np.radians(rng.normal(0.0, YAW_SD_DEG)))
    seen = filled(np.where(skin.observed, skin.z_mm - tilt * skin.x_mm, np.nan))
    back = canonical_map(HeightMap(skin.x_mm, skin.y_mm, seen, skin.observed), vp, base)
    y = base[1] + ROWS_U * (vp[1] - base[1])
    line = np.interp(y, subject.line_mm[:, 1], subject.line_mm[:, 0]) - chord(ROWS_U, vp, base)
    return back, line * TRUNK_MM / (vp[1] - base[1])


def _slope_in_x(skin: HeightMap, vp: np.ndarray, base: np.ndarray) -> float:
    """Slope of the plane that `align_to_body` turns towards the viewer: a rib hump turns it too."""
    x, y = np.meshgrid(skin.x_mm, skin.y_mm)
    u = (y - base[1]) / (vp[1] - base[1])
    aside = x - chord(u, vp, base)
    near = skin.observed & (u > 0.05) & (u < 0.75) & (np.abs(aside) < 110)
    plane = np.stack([np.ones(near.sum()), aside[near], y[near]], axis=1)
    return float(np.linalg.lstsq(plane, skin.z_mm[near], rcond=None)[0][1])


def training_set(
    seeds: range,
) -> tuple[Float32[np.ndarray, "n 84 81"], Float32[np.ndarray, "n 84"]]:
    """Maps and lines of the simulated people of these seeds."""
    from suite.progress import track

    pairs = [
        training_pair(simulate_subject(seed, PEOPLE), np.random.default_rng([seed, 1]))
        for seed in track(seeds, "Simulating backs")
    ]
    return np.stack([back for back, _ in pairs]), np.stack([line for _, line in pairs]).astype(np.float32)


def network() -> torch.nn.Module:
    """The network of `spine.spinous_line` as a trainable module; same names, same sums."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    class Network(nn.Module):
        rows: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Conv1d(2 * len(OFFSETS) + 3, HIDDEN, 1)
            self.blocks = nn.ModuleList(
                nn.Conv1d(HIDDEN, HIDDEN, KERNEL, padding=d * (KERNEL // 2), dilation=d) for d in DILATIONS
            )
            self.leave = nn.Conv1d(HIDDEN, 1, 1)
            self.dropout = nn.Dropout(0.1)
            self.register_buffer("rows", torch.tensor(row_codes(), dtype=torch.float32), persistent=False)

        def forward(self, odd: torch.Tensor, even: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            rows = self.rows.expand(len(x), -1, -1)
            hidden = nn.functional.silu(self.enter(torch.cat([odd, even, x[:, None] / X_SCALE, rows], 1)))
            for block in self.blocks:
                hidden = hidden + nn.functional.silu(block(self.dropout(hidden)))
            return self.leave(hidden)[:, 0]

    return Network()


def step(net: torch.nn.Module, back: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The network's odd half on the strip around x: (b, 84), (b, 84, 81) -> (b, 84), canonical mm."""
    odd, even = _strip(back, x)
    return STEP_SCALE * (net(odd, even, x) - net(-odd, even, -x))


def _strip(back: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    import torch  # pyright: ignore[reportMissingImports]

    offsets = torch.tensor(OFFSETS, dtype=torch.float32)
    at = x[:, :, None] + torch.cat([-offsets, torch.zeros(1), offsets])
    column = ((at - float(COLUMNS[0])) / float(COLUMNS[1] - COLUMNS[0])).clamp(0, len(COLUMNS) - 1)
    whole = column.floor().long().clamp(max=len(COLUMNS) - 2)
    share = column - whole
    z = torch.gather(back, 2, whole) * (1 - share) + torch.gather(back, 2, whole + 1) * share
    n = len(OFFSETS)
    left, middle, right = z[:, :, :n], z[:, :, n : n + 1], z[:, :, n + 1 :]
    odd = ((right - left) / 2).clamp(-ODD_LIMIT, ODD_LIMIT) / ODD_SCALE
    even = ((right + left) / 2 - middle).clamp(*EVEN_LIMITS) / EVEN_SCALE
    return odd.transpose(1, 2), even.transpose(1, 2)


def train(
    backs: Float32[np.ndarray, "n 84 81"],
    lines: Float32[np.ndarray, "n 84"],
    *,
    seed: int,
    steps: int = 1000,
    learning_rate: float = 3e-3,
    batch: int = 48,
    start: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Weights of one member; `start` continues from weights of another (fine-tuning)."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    net = network()
    if start is not None:
        net.load_state_dict({key: torch.tensor(value) for key, value in start.items()})
    optimiser = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    maps, truth = torch.tensor(backs), torch.tensor(lines)
    inside = torch.tensor(((ROWS_U >= 0) & (ROWS_U <= 1)).astype(np.float32))
    walks = [
        torch.tensor(np.linalg.cholesky(_smooth(length)), dtype=torch.float32) for length in WALK_LENGTHS_U
    ]
    columns = torch.tensor(COLUMNS, dtype=torch.float32)
    net.train()
    for _ in range(steps):
        chosen = torch.randint(len(maps), (batch,))
        line = truth[chosen]
        x = _current_lines(line, walks)
        back = maps[chosen] + TILT_SD * torch.randn(batch, 1, 1) * columns
        error = step(net, back, x) + x - line
        loss = (
            torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=5.0, reduction="none")
            * inside
        ).mean()
        slope = ((error[:, 4:] - error[:, :-4]) * inside[4:]).abs().mean()
        optimiser.zero_grad()
        (loss / 5 + slope / 4).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return {key: value.detach().numpy().copy() for key, value in net.state_dict().items()}


def _current_lines(line: torch.Tensor, walks: list[torch.Tensor]) -> torch.Tensor:
    """Lines a descent may stand at: the truth off by a smooth random walk, every third on its way from the
    chord."""
    import torch  # pyright: ignore[reportMissingImports]

    b = len(line)
    which = torch.randint(len(walks), (b,))
    noise = torch.randn(b, line.shape[1])
    walk = torch.stack([walks[k] @ z for k, z in zip(which.tolist(), noise, strict=True)])
    walk = walk * WALK_SD_MM * torch.empty(b, 1).uniform_(0, 1.4)
    on_the_way = line * torch.rand(b, 1) + walk * (4.0 / WALK_SD_MM)
    return torch.where(torch.rand(b, 1) < 0.3, on_the_way, line + walk)


def _smooth(length: float) -> np.ndarray:
    return np.exp(-0.5 * ((ROWS_U[:, None] - ROWS_U) / length) ** 2) + 1e-5 * np.eye(len(ROWS_U))


def expected_error(
    model: LineModel, backs: Float32[np.ndarray, "n 84 81"], lines: Float32[np.ndarray, "n 84"]
) -> Float[np.ndarray, " 84"]:
    """Root mean square error per row of the mean line, canonical mm."""
    found = np.stack([find_line(back, model).mean(0) for back in backs])
    return np.sqrt(((found - lines) ** 2).mean(0))


def end_models(seeds: range, held_out: int) -> tuple[EndModel, EndModel]:
    """Regressions of the heights of VP and of the base on simulated scans that end at random heights.

    Every person is scanned once, and the scan cut at CUTS random pairs of heights. The scans stand as the
    scanner's axes have them: people lean and are turned, and what is upright in a real scan is known no
    better.
    """
    from suite.progress import track

    features: tuple[list, list] = ([], [])
    distances: tuple[list, list] = ([], [])
    lowest, highest = ScanConfig().below_base_mm[1], ScanConfig().above_vp_mm[1]
    whole = ScanConfig(below_base_mm=(lowest, lowest), above_vp_mm=(highest, highest))
    for seed in track(seeds, "Scanning backs"):
        subject, rng = simulate_subject(seed, PEOPLE), np.random.default_rng([seed, 2])
        scan = scan_points(subject, noise_mm=0.7, rng=rng, n_points=20_000, config=whole)
        cuts = np.random.default_rng([seed, 3])
        for back, (vp, base) in _cut_scans(subject, scan, cuts):
            outline = ends(back)
            for k, at_top in enumerate((True, False)):
                features[k].append(end_features(back, at_top))
                distances[k].append(outline.top_mm - vp[1] if at_top else base[1] - outline.bottom_mm)
    at_vp, at_base = (
        fit_end_model(np.stack(f), np.array(d), CUTS * held_out)
        for f, d in zip(features, distances, strict=True)
    )
    return at_vp, at_base


def _cut_scans(
    subject: SimulatedSubject, scan: Scan, rng: np.random.Generator
) -> Iterator[tuple[HeightMap, Float[np.ndarray, "2 3"]]]:
    """Height maps of a scan cut at random heights, with VP and base in their frame."""
    marks = transform_points(scan.T_scan_body, np.stack([subject.vp_mm, subject.base_mm])) @ FACING_BACK.T
    height = transform_points(se3_inverse(scan.T_scan_body), scan.cloud.points)[:, 1]
    for _ in range(CUTS):
        low = subject.base_mm[1] - rng.uniform(*ScanConfig().below_base_mm)
        high = subject.vp_mm[1] + rng.uniform(*ScanConfig().above_vp_mm)
        yield rasterize(scan.cloud.points[(height > low) & (height < high)] @ FACING_BACK.T), marks


def _need_torch() -> None:
    """Says what is missing before the minutes that come first."""
    if find_spec("torch") is None:
        raise BackendUnavailable("torch", "it is not installed", "pip install 'vision-suite[train]'")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The model file to write.")
@click.option("--people", type=AT_LEAST_20, default=2400, show_default=True, help="Simulated people.")
@click.option(
    "--members", type=click.IntRange(1), default=4, show_default=True, help="Networks in the ensemble."
)
@click.option("--steps", type=AT_LEAST_20, default=1200, show_default=True, help="Training steps of each.")
def main(out: Path, people: int, members: int, steps: int) -> None:
    """Train the landmark model on simulated backs."""
    from suite.progress import track

    _need_torch()
    backs, lines = training_set(range(FIRST_SEED, FIRST_SEED + people + HELD_OUT))
    weights: list[Any] = [
        train(backs[:people], lines[:people], seed=seed, steps=steps)
        for seed in track(range(members), "Training")
    ]
    draft = LineModel(tuple(weights), np.ones(len(ROWS_U)))
    line = LineModel(draft.members, expected_error(draft, backs[people:], lines[people:]))
    vp, base = end_models(range(FIRST_SEED, FIRST_SEED + people + HELD_OUT), HELD_OUT)
    command = f"python -m spine.landmark_training --people {people} --members {members} --steps {steps}"
    save_landmark_model(out, LandmarkModel(line, vp, base, "simulated", f"{command}; simulated backs only"))
    inside = (ROWS_U >= 0) & (ROWS_U <= 1)
    rms = np.sqrt((line.sigma_mm[inside] ** 2).mean())
    click.echo(
        f"{out}: on {HELD_OUT} simulated backs held out, line {rms:.2f} mm, "
        f"height of VP {vp.sigma_mm:.1f} mm, of the base {base.sigma_mm:.1f} mm"
    )


if __name__ == "__main__":
    from suite.cli import entry

    entry(main)()
