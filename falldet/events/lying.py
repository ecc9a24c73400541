"""How likely somebody lies after a fall, from what their looks say together: learned on drawn films.

An additive model: log-odds are a constant and, for each of `falldet.events.course.FEATURES`, a curve of
straight pieces that only rises with what speaks for a fall. It cannot learn that looking less fallen is
worse, so few films suffice. A JSON file holds it with how it was learned; `falldet train-evidence` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from falldet.events.course import FEATURES
from suite.errors import BadInput
from suite.files import atomic_write

SHIPPED = Path(__file__).parents[1] / "shipped" / "lying.json"
PIECES = 4
_AGAIN = "learn it again with falldet train-evidence"
_SIGNS = np.array(list(FEATURES.values()), np.float64)


@dataclass(frozen=True, eq=False)
class LyingModel:
    """``knots`` of each curve, in the direction that speaks for a fall, grow; ``rises`` >= 0 are its gains
    between them. ``learned`` says on what, with which detector, and the probability from which a look says
    fallen (``threshold``)."""

    knots: Float64[np.ndarray, "features pieces_1"]
    rises: Float64[np.ndarray, "features pieces"]
    base: float
    learned: dict[str, Any]

    @property
    def threshold(self) -> float:
        return float(self.learned["threshold"])

    def probability(self, features: Float64[np.ndarray, "*n features"]) -> Float64[np.ndarray, "*n"]:
        """That who was looked at lies after a fall."""
        log_odds = self.base + (ramps(features, self.knots) * self.rises).sum(axis=(-2, -1))
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def towards_fall(features: Float64[np.ndarray, "*n features"]) -> Float64[np.ndarray, "*n features"]:
    """The features turned so that more of each speaks for a fall."""
    return features * _SIGNS


def ramps(
    features: Float64[np.ndarray, "*n features"], knots: Float64[np.ndarray, "features pieces_1"]
) -> Float64[np.ndarray, "*n features pieces"]:
    """How far each feature has come through each piece, 0 to 1."""
    at = towards_fall(features)[..., None]
    return np.asarray(np.clip((at - knots[:, :-1]) / np.diff(knots, axis=1), 0.0, 1.0))


def write_lying(path: Path, model: LyingModel) -> None:
    """Write the file, whole or not at all."""
    curves = {
        name: {"knots": model.knots[k].tolist(), "rises": np.round(model.rises[k], 4).tolist()}
        for k, name in enumerate(FEATURES)
    }
    data = {"version": 1, "learned": model.learned, "base": round(model.base, 4), "curves": curves}
    with atomic_write(path, "w") as stream:
        stream.write(json.dumps(data).replace('}, "', '},\n"') + "\n")


def read_lying(path: Path) -> LyingModel:
    """The model of that file. Raises BadInput where it is missing, damaged, or of other features."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        curves = data["curves"]
        if tuple(curves) != tuple(FEATURES):
            raise BadInput("was learned on other features", path, _AGAIN)
        knots, rises = (
            np.array([curve[part] for curve in curves.values()], np.float64) for part in ("knots", "rises")
        )
        model = LyingModel(knots, rises, float(data["base"]), dict(data["learned"]))
        fits = knots.ndim == rises.ndim == 2 and knots.shape[1] == rises.shape[1] + 1 > 1
        sound = fits and bool((np.diff(knots, axis=1) > 0).all() and (rises >= 0).all())
        sound = sound and bool(np.isfinite([*knots.flat, *rises.flat, model.base]).all())
        sound = sound and 0 < model.threshold < 1
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", path) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"is no evidence model ({type(error).__name__}: {error})", path, _AGAIN) from None
    if not sound:
        raise BadInput("holds numbers that cannot be", path, _AGAIN)
    return model


@cache
def shipped_lying() -> LyingModel:
    """The model that comes with the package."""
    return read_lying(SHIPPED)
