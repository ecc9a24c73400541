"""Where things lie in the folder of a product. Light."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.errors import BadInput

PRODUCT, GLB, MESH_PAGE, BAKED_PAGE, REPORT = (
    "product.json",
    "model.glb",
    "model.html",
    "baked.html",
    "report.html",
)
FIELD_FILE = "field.safetensors"


def is_product(folder: Path) -> bool:
    """Whether a folder is one of a product, not of a training."""
    return (folder / PRODUCT).is_file()


def field_folder(folder: Path) -> Path:
    """The run of a product's field; any other folder is that run itself."""
    return folder / "field" if is_product(folder) else folder


def product_glb(folder: Path) -> Path:
    """The textured mesh. Raises BadInput where there is none yet."""
    if not (folder / GLB).is_file():
        raise BadInput(f"no {GLB} here", folder, hint="name the folder of a product, or finish it")
    return folder / GLB


def read_json(path: Path) -> dict[str, Any]:
    """What a stage has written of itself; nothing where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
