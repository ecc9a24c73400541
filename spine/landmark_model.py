"""What `spine.landmarks` has learned, as one file: the networks of the spinous line and the two regressions
of the heights of VP and base.

Models are data: a safetensors file whose header says what it was trained on. `simulated` is shipped
(spine/data/landmarks_simulated.safetensors, see LANDMARK_MODEL.md beside it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from spine.anchors import FEATURES, EndModel
from spine.spinous_line import LineModel
from suite.errors import BadInput

DEFAULT = "simulated"
HINT = f"use {DEFAULT}, or a file that python -m spine.landmark_training has written"


@dataclass(frozen=True)
class LandmarkModel:
    """Line and heights, with the name of the model and what it was trained on."""

    line: LineModel
    vp: EndModel
    base: EndModel
    name: str
    provenance: str

    def __post_init__(self) -> None:
        for name, end in (("vp", self.vp), ("base", self.base)):
            if end.support.shape[1] != FEATURES:
                raise ValueError(f"{name} weighs {end.support.shape[1]} features, not {FEATURES}")


def save_landmark_model(path: Path, model: LandmarkModel) -> None:
    """Write the model, float32, atomically."""
    from safetensors.numpy import save

    from suite.files import atomic_write

    tensors = {
        f"line.{k}.{key}": value
        for k, member in enumerate(model.line.members)
        for key, value in member.items()
    }
    tensors["line.sigma_mm"] = model.line.sigma_mm
    for name, end in (("vp", model.vp), ("base", model.base)):
        tensors |= {
            f"{name}.support": end.support,
            f"{name}.weights": end.weights,
            f"{name}.width_offset_sigma_mm": np.array([end.width, end.offset_mm, end.sigma_mm]),
        }
    data = save(
        {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in tensors.items()},
        {"name": model.name, "provenance": model.provenance},
    )
    with atomic_write(path, "wb") as out:
        out.write(data)


def load_landmark_model(name: str = DEFAULT) -> LandmarkModel:
    """A shipped model by its name, or one of your own by its path; a file is read once until it changes.

    Raises BadInput for a file that is not one.
    """
    shipped = Path(str(files("spine"))) / "data" / f"landmarks_{name}.safetensors"
    file = shipped if shipped.is_file() else Path(name)
    if not file.is_file():
        raise BadInput("there is no such landmark model", name, HINT)
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(file: Path, changed_ns: int) -> LandmarkModel:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as source:
            tensors = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118 (not a dict)
            header = source.metadata() or {}
        return _model(tensors, header)
    except KeyError as error:
        raise BadInput(f"this is no landmark model: it lacks {error}", str(file), HINT) from error
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise BadInput(f"this is no landmark model: {error}", str(file), HINT) from error


def _model(tensors: dict[str, np.ndarray], header: dict[str, str]) -> LandmarkModel:
    count = len({key.split(".")[1] for key in tensors if key.startswith("line.") and key.count(".") > 1})
    members = tuple(
        {key.split(".", 2)[2]: value for key, value in tensors.items() if key.startswith(f"line.{k}.")}
        for k in range(count)
    )

    def end(name: str) -> EndModel:
        width, offset, sigma = tensors[f"{name}.width_offset_sigma_mm"].astype(float)
        support, weights = (tensors[f"{name}.{part}"].astype(float) for part in ("support", "weights"))
        return EndModel(support, weights, float(width), float(offset), float(sigma))

    line = LineModel(members, tensors["line.sigma_mm"].astype(float))
    return LandmarkModel(line, end("vp"), end("base"), header["name"], header.get("provenance", ""))
