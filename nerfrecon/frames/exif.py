"""What a photograph says of how it was taken."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_IFD, _MODEL, _ORIENTATION, _TIME = 0x8769, 0x0110, 0x0112, 0x0132
_TAKEN, _SUBSECOND, _FOCAL, _FOCAL_35 = 0x9003, 0x9291, 0x920A, 0xA405


@dataclass(frozen=True)
class Exif:
    """Focal lengths in mm (that of the lens, and what it would be on 36 x 24 mm film), the camera's model,
    the time as written (YYYY:MM:DD hh:mm:ss), and EXIF's orientation (1: upright as stored)."""

    focal_mm: float | None = None
    focal_35mm: float | None = None
    model: str | None = None
    time: str | None = None
    orientation: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_exif(path: Path) -> Exif:
    """Nothing but defaults where a file has no EXIF, or one that is damaged."""
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            exif = image.getexif()
            inner = exif.get_ifd(_IFD)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, EOFError):
        return Exif()
    taken = _text(inner.get(_TAKEN)) or _text(exif.get(_TIME))
    part = _text(inner.get(_SUBSECOND))
    orientation = exif.get(_ORIENTATION, 1)
    return Exif(
        _length(inner.get(_FOCAL)),
        _length(inner.get(_FOCAL_35)),
        _text(exif.get(_MODEL)),
        f"{taken}.{part}" if taken and part else taken,
        orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
    )


def _length(value: Any) -> float | None:
    try:
        length = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return round(length, 4) if math.isfinite(length) and length > 0 else None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return value.replace("\0", "").strip() or None
