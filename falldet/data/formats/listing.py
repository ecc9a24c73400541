"""What a reader of one format hands over, before boxes are checked and names become numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from suite.errors import BadInput

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")


_NAN = float("nan")
NOWHERE = _NAN, _NAN, _NAN, _NAN
"""Corners of a box whose numbers make no sense."""


@dataclass(frozen=True)
class ListedBox:
    """A box as a file has it: (x1, y1, x2, y2), any numbers; ``category`` is the file's own name."""

    category: str
    corners: tuple[float, float, float, float]
    where: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedImage:
    """A picture as a file has it. Corners are in pixels, or in shares of its sides.

    ``stated_px`` is the width and height that the file gives, if it does.
    """

    path: Path
    where: str
    boxes: Sequence[ListedBox]
    stated_px: tuple[float, float] | None = None
    group: str | None = None
    unit: Literal["px", "share"] = "px"


@dataclass(frozen=True)
class Listing:
    """All of one source. ``categories`` are the names that the format declares, whether used or not."""

    name: str
    where: Path
    images: Sequence[ListedImage]
    categories: Sequence[str] = ()
    aliases: Mapping[str, str] | None = None
    """Names that the format itself has for ours."""


def place_of(path: Path) -> str:
    """The same text for the same path, however it is written; links stay links."""
    return os.path.normcase(os.path.normpath(path.absolute()))


def read_json_object(path: Path) -> dict[str, Any]:
    """Raises BadInput naming file and line for what is missing, empty, or not a JSON object."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", path) from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", path) from None
    if not content:
        raise BadInput("is empty (0 bytes)", path, hint="copy or export it again")
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON ({error.msg})", f"{path}:{error.lineno}") from None
    except UnicodeDecodeError:
        raise BadInput("is not a text file", path) from None
    except RecursionError:
        raise BadInput("is nested too deeply", path) from None
    if not isinstance(values, dict):
        raise BadInput(f"holds a {type(values).__name__}, not a JSON object", path)
    return values


def number(value: Any) -> float:
    """A float, NaN for anything that is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NAN
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf")


def words(value: Any) -> tuple[str, ...]:
    """The words of a list, of a mapping's true entries, or of one word."""
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, Mapping):
        return tuple(str(key) for key, holds in value.items() if holds)
    return tuple(str(word) for word in value) if isinstance(value, list) else ()
