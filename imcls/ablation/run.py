"""An ablation from settings to table: on frozen features where `mode: probe`, else by whole trainings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from imcls.ablation.compare import Ablation, RunOne, ablate
from imcls.ablation.frozen_jobs import Load, frozen_runs, overrides_of
from imcls.ablation.table import markdown, table
from imcls.ablation.variants import Variant
from imcls.config import ImclsConfig
from imcls.data.cache import open_cache
from imcls.data.fit import short_side_px
from imcls.data.manifest import SplitManifest
from imcls.data.sources import read_table
from imcls.data.split import split
from imcls.predictions import Predictions
from imcls.report.ablation_page import write_ablation_page
from suite.config import Loaded, dump
from suite.files import atomic_write
from suite.run import RECORD, Run


def run_ablation(base: ImclsConfig, variants: Sequence[Variant], seeds: int, folder: Path) -> Ablation:
    """Every variant with the seeds 0 to ``seeds`` - 1, in ``folder``, where what is done already is kept;
    then the table there as CSV, JSON, Markdown and a page."""
    load = overrides_of(base, folder)
    run_one = _frozen(base, load, folder) if base.mode == "probe" else _trainings(load)
    found = ablate(variants, range(seeds), run_one, folder, resolve=lambda overrides: dump(load(overrides)))
    write_ablation(folder, found)
    return found


def write_ablation(folder: Path, ablation: Ablation) -> None:
    """ablation.csv, ablation.json, ablation.md and ablation.html in ``folder``."""
    table(ablation).write_csv(folder / "ablation.csv")
    with atomic_write(folder / "ablation.json", "w") as stream:
        json.dump({"version": 1, **asdict(ablation)}, stream, indent=2)
        stream.write("\n")
    with atomic_write(folder / "ablation.md", "w") as stream:
        stream.write(markdown(ablation))
    write_ablation_page(folder / "ablation.html", ablation)


def _frozen(base: ImclsConfig, load: Load, folder: Path) -> RunOne:
    data = base.data
    images = read_table(data.source, data.classes)
    manifest = (
        split(images, data.split) if data.split.manifest is None else SplitManifest.read(data.split.manifest)
    )
    store = data.cache or folder / "cache"
    cache = open_cache(images, store, short_side_px(base.input), data.unreadable)
    return frozen_runs(base, load, images, cache, manifest.check(images), store)


def _trainings(load: Load) -> RunOne:
    def run_one(overrides: Sequence[str], seed: int, place: Path) -> Predictions:
        from imcls.train import train

        config, folder = load([*overrides, f"train.seed={seed}"]), place / "run"
        resume = (folder / RECORD).is_file()
        if not resume or Run.open(folder).status != "finished":
            with Run.resume(folder) if resume else Run.create(folder, config=config) as run:
                train(Loaded(config), run, resume)
        return Predictions.read(folder / "oof.npz")

    return run_one
