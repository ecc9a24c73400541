"""Products made in processes of their own, and what their folders say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._nerf_views import in_child
from nerfrecon.product_config import RECIPES, ProductConfig
from nerfrecon.product_folder import PRODUCT, read_json
from suite.config import load_config
from suite.run import RECORD, Run

BEFORE_GLB = ("frames", "sfm", "object", "field", "mesh", "texture")


def configured(quality: str, *settings: str) -> ProductConfig:
    """A recipe with settings over it."""
    return load_config(ProductConfig, RECIPES / f"{quality}.yaml", settings).config


def product(config: ProductConfig, folder: Path) -> Path:
    """Make a product in a fresh process on one thread; what an earlier call has made is not made again."""
    in_child(_make, config.model_dump(mode="json"), str(folder))
    return folder


def _make(config: Mapping[str, Any], folder: str) -> None:
    import torch

    from nerfrecon.product import make_product

    torch.set_num_threads(1)
    options = ProductConfig.model_validate(config)
    begun = (Path(folder) / RECORD).is_file()
    with Run.again(folder, config=options) if begun else Run.create(folder, config=options) as run:
        make_product(options, run)


def costs(folder: Path, names: tuple[str, ...] = BEFORE_GLB) -> dict[str, dict[str, float]]:
    """Of each stage that a product has: cpu_s, wall_s, peak_gb."""
    stages = read_json(folder / PRODUCT).get("stages", [])
    kept = ("cpu_s", "wall_s", "peak_gb")
    return {one["name"]: {key: one[key] for key in kept} for one in stages if one["name"] in names}


def judged(folder: Path, truth: Path | None = None, poses: Path | None = None, views: bool = True) -> dict:
    """Figures of `nerfrecon eval`, in a process of its own; kept beside the product, and read if they are
    there."""
    kept = folder / "judged.json"
    if not kept.is_file():
        given = [None if one is None else str(one) for one in (truth, poses)]
        in_child(_judge, str(folder), *given, views)
    return json.loads(kept.read_text(encoding="utf-8"))


def _judge(folder: str, truth: str | None, poses: str | None, views: bool) -> None:
    from nerfrecon.evaluate_product import evaluate_product
    from suite.files import atomic_write

    paths = [None if one is None else Path(one) for one in (truth, poses)]
    found = evaluate_product(Path(folder), paths[0], views=views, poses=paths[1])
    with atomic_write(Path(folder) / "judged.json", "w") as stream:
        json.dump(found.figures, stream)
