"""How much every index changes when the same person is recorded again, as it was measured.

The smallest detectable change is 1.96 sqrt(2) SEM, with SEM the standard deviation of repeated measurements
of one person (J. P. Weir, J Strength Cond Res 19, 2005:231). `python -m benchmarks.spine_repeat` measures it
on simulated recordings and writes spine/data/repeatability.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from suite.errors import BadInput
from suite.files import atomic_write

FORMAT, VERSION = "spine-repeatability", 1
SHIPPED = "repeatability.json"
_DETECTABLE = 1.96 * math.sqrt(2)


@dataclass(frozen=True)
class Repeatability:
    """Smallest detectable change by index, and in words how it was measured."""

    sdc: Mapping[str, float]
    provenance: str

    def __post_init__(self) -> None:
        if bad := [key for key, value in self.sdc.items() if not (math.isfinite(value) and value >= 0)]:
            raise BadInput(f"smallest detectable change of {', '.join(bad)} is no length or angle")


def smallest_detectable_change(repeats: Sequence[Float[np.ndarray, " _"]], azimuth: bool = False) -> float:
    """Of the repeated measurements of each of several people: 1.96 sqrt(2) times the pooled standard
    deviation. Azimuths (deg) go round."""
    spread, free = 0.0, 0
    for values in repeats:
        around = np.asarray(values, np.float64)
        if azimuth:
            turned = np.exp(1j * np.radians(around))
            around = np.degrees(np.angle(turned / np.exp(1j * np.angle(turned.mean()))))
        if len(around) > 1:
            spread += float(((around - around.mean()) ** 2).sum())
            free += len(around) - 1
    if not free:
        raise BadInput("nobody was measured twice", hint="repeat the measurement of at least one person")
    return _DETECTABLE * math.sqrt(spread / free)


@lru_cache(maxsize=1)
def shipped_repeatability() -> Repeatability | None:
    """What was measured for this release; None where it was not."""
    path = files("spine") / "data" / SHIPPED
    return read_repeatability(Path(str(path))) if path.is_file() else None


def read_repeatability(path: str | Path) -> Repeatability:
    """Raises BadInput naming what is wrong with the file."""
    path = Path(path)
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if values.get("format") != FORMAT or values.get("version") != VERSION:
            raise BadInput(f"is not a table of repeatability (format {FORMAT}, version {VERSION})", path)
        sdc = {str(key): float(value) for key, value in values["sdc"].items()}
        return Repeatability(sdc, str(values["provenance"]))
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", path) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"is damaged ({type(error).__name__}: {error})", path, "measure it again") from None


def write_repeatability(path: str | Path, repeatability: Repeatability) -> None:
    """The table as JSON, figures to three digits."""
    sdc = {key: float(f"{value:.3g}") for key, value in repeatability.sdc.items()}
    document = {"format": FORMAT, "version": VERSION, "provenance": repeatability.provenance, "sdc": sdc}
    with atomic_write(path, "w") as out:
        json.dump(document, out, indent=1)
        out.write("\n")
