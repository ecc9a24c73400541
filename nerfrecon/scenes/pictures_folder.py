"""Pictures that a format names only by the folder they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sorts numbers in names by value: r_2 before r_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def pictures_in(folder: Path) -> list[Path]:
    """Picture files directly in `folder`, by name, numbers by value; hidden files aside."""
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )
    return sorted(found, key=lambda path: natural_key(path.name))


def subfolder(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of `names` that is a folder in `folder`."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)
