"""The benchmarks of imcls on what is small: what their figures are made of and what they compare."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import BenchmarkResult, _imcls_flowers, imcls_ablation, imcls_flowers, imcls_throughput
from imcls.ablation.run import run_ablation
from imcls.config import ImclsConfig
from imcls.data.leaks import count_leaks
from imcls.data.options import DataOptions, FolderSource, InputOptions, SplitOptions
from imcls.data.prints import table_prints
from imcls.experiment import prepare
from imcls.model.options import ModelOptions, ResNet9
from imcls.predictions import Predictions
from suite.config import dump
from suite.data.images import write_image
from suite.engine.options import AdamW, EngineOptions
from suite.errors import SuiteError
from suite.report.metric import metrics_json

N, K = 60, 3


def figures(result: BenchmarkResult) -> dict:
    return json.loads(metrics_json("x", result.metrics))["metrics"]


def said(wrong: set[int], order: np.ndarray | None = None) -> Predictions:
    """Sure of the truth but for the images in ``wrong``, where it is sure of the next class."""
    labels = np.arange(N) % K
    named = np.array([(labels[i] + (i in wrong)) % K for i in range(N)])
    logits = np.float32(4) * np.eye(K, dtype=np.float32)[named]
    names = tuple(f"{i:02d}.png" for i in range(N))
    found = Predictions(names, ("a", "b", "c"), logits, labels, np.arange(N) // 12)
    return found if order is None else found.subset(order)


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 images of each of three of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("digits")
    X, y = load_digits(return_X_y=True)
    for digit in range(3):
        for number, row in enumerate(np.flatnonzero(np.asarray(y) == digit)[:16]):
            grey = np.kron(np.asarray(X)[row].reshape(8, 8) * 15, np.ones((4, 4))).astype(np.uint8)
            (root / str(digit)).mkdir(exist_ok=True)
            write_image(root / str(digit) / f"{number:02d}.png", np.repeat(grey[..., None], 3, axis=2))
    return root


def small_experiment(root: Path, folder: Path) -> ImclsConfig:
    return ImclsConfig(
        data=DataOptions(
            source=FolderSource(root=root),
            split=SplitOptions(folds=2, use="all", near_duplicates=False),
            cache=folder / "cache",
        ),
        input=InputOptions(image_px=16, batch_size=8),
        model=ModelOptions(backbone=ResNet9(width=8)),
        train=EngineOptions(epochs=2, optimizer=AdamW(lr=3e-3), precision="fp32", channels_last="no"),
    )


def test_flower_figures_are_shares_of_right_images_whatever_the_order():
    probe, tuned = said(set(range(12))), said({1, 50, 51}, np.random.default_rng(0).permutation(N))
    cpu_s = {imcls_flowers.PROBE: 40.0, imcls_flowers.TUNED: 900.0}
    result = imcls_flowers.compared(probe, tuned, cpu_s, leaks=2)
    found = figures(result)
    assert found["probe_accuracy"]["value"] == pytest.approx(48 / 60)
    assert found["finetune_accuracy"]["value"] == pytest.approx(57 / 60)
    assert found["fold_leaks"]["value"] == 2 and found["probe_cpu_s"]["value"] == 40
    low, high = found["probe_accuracy"]["interval"]
    assert low < 0.8 < high
    gain = found["ensemble_accuracy"]["value"] - found["finetune_accuracy"]["value"]
    assert found["ensemble_gain"]["value"] == pytest.approx(gain)
    rows = {row[0]: row for row in result.tables[0].rows}
    assert rows["frozen probe"][1:6] == pytest.approx([0, 100, 100, 100, 100])
    assert rows["frozen probe"][8] == 40 and rows["ensemble"][8] is None
    assert sum(row[9] for row in rows.values() if isinstance(row[9], float)) == pytest.approx(1)


def test_every_digit_is_judged_once_by_a_member_that_has_not_seen_it(few_digits: Path, tmp_path: Path):
    experiment = prepare(small_experiment(few_digits, tmp_path))
    found, cpu_s = imcls_flowers.fine_tuned(experiment)
    assert sorted(found.names) == sorted(experiment.table.names)
    fold_of = dict(zip(experiment.table.names, experiment.folds, strict=True))
    assert found.folds is not None and [fold_of[name] for name in found.names] == found.folds.tolist()
    assert cpu_s > 0 and np.isfinite(found.logits).all()
    again, _ = imcls_flowers.fine_tuned(experiment)
    assert np.array_equal(again.logits, found.logits)


def test_leaks_are_counted_by_looking_not_by_asking_the_split(few_digits: Path, tmp_path: Path):
    experiment = prepare(small_experiment(few_digits, tmp_path))
    prints = table_prints(experiment.table, tmp_path / "cache")
    apart = count_leaks(experiment.folds, prints, least=1.1)
    assert apart == 0
    assert count_leaks(np.arange(len(prints)), prints, least=-1.0) == len(prints) * (len(prints) - 1) // 2


def test_ablation_figures_are_differences_to_the_base_in_points(few_digits: Path, tmp_path: Path):
    config = small_experiment(few_digits, tmp_path).model_copy(update={"mode": "probe"})
    ablation = run_ablation(config, imcls_ablation.VARIANTS, 2, tmp_path / "ablation")
    rows = {row.name: row for row in ablation.rows}
    assert list(rows) == ["base", "smoothing", "mixup", "EMA", "BNNeck", "TTA", "ensemble"]
    result = imcls_ablation.summarised(ablation)
    found = figures(result)
    assert found["base_accuracy"]["value"] == pytest.approx(100 * rows["base"].accuracy)
    for name in list(rows)[1:]:
        figure = found[f"{name.lower()}_difference"]
        change = 100 * (rows[name].accuracy - rows["base"].accuracy)
        assert figure["value"] == pytest.approx(change, abs=1e-9)
        assert figure["interval"][0] <= change + 1e-9 and change - 1e-9 <= figure["interval"][1]
    assert len(result.tables[0].rows) == len(rows)


def test_each_variant_changes_one_thing_of_the_base_and_the_vote_takes_all(tmp_path: Path):
    from imcls.ablation.frozen_jobs import overrides_of

    base = imcls_ablation.base_config(lambda name: tmp_path / name, tmp_path)
    load = overrides_of(base, tmp_path)
    plain = dump(load([])).splitlines()
    trained = [variant for variant in imcls_ablation.VARIANTS if not variant.of]
    for variant in trained[1:]:
        assert len(variant.overrides) == 1
        assert dump(load(variant.overrides)).splitlines() != plain, variant.name
    assert imcls_ablation.VARIANTS[-1].of == tuple(variant.name for variant in trained)


def test_throughput_figures_are_ours_over_theirs():
    loader = {
        "warm_images_per_cpu_s": 900.0,
        "cold_images_per_cpu_s": 400.0,
        "timm_images_per_cpu_s": 200.0,
        "warm_ratio_vs_timm": 4.5,
        "cold_ratio_vs_timm": 2.0,
    }
    result = imcls_throughput.summarised(loader, 0.07)
    found = figures(result)
    assert found["loader_ratio_vs_timm"] == {
        "value": 4.5,
        "unit": "",
        "better": "higher",
        "note": "at least 2 is asked",
    }
    assert found["loader_cold_ratio_vs_timm"]["value"] == 2.0
    assert found["engine_overhead_ms"]["value"] == 0.07
    assert [row[1] for row in result.tables[0].rows] == [900, 400, 200]


def test_a_probe_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    with pytest.raises(SuiteError, match="exit code"):
        _imcls_flowers.cold_probe(tmp_path / "out")
    assert "imcls/flowers5" in capfd.readouterr().err


def test_probe_and_fine_tuning_are_judged_on_the_same_folds(tmp_path: Path):
    probe = _imcls_flowers.probe_config(lambda name: tmp_path / name, tmp_path)
    tuned = _imcls_flowers.finetune_config(lambda name: tmp_path / name, tmp_path)
    assert tuned.data.source == probe.data.source and tuned.data.split.use == "all"
    assert tuned.data.split.manifest == tmp_path / _imcls_flowers.SPLIT
    assert tuned.model.backbone.weights == probe.model.backbone.weights
