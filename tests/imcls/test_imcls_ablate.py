"""Ablations: planted differences are found, none is where there is none, and a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imcls.ablation.compare import Ablation, ablate
from imcls.ablation.frozen_jobs import overrides_of
from imcls.ablation.head_training import head_out_of_fold
from imcls.ablation.run import write_ablation
from imcls.ablation.table import excludes_zero, markdown, table
from imcls.ablation.variants import BASE, Variant, checked, read_variants, varied
from imcls.config import ImclsConfig
from imcls.predictions import Predictions
from suite.config import dump
from suite.errors import BadInput, ConfigError

SEEDS = (0, 1, 2)


class Planted:
    """Jobs with a known accuracy: hard images are hard for all variants; ``better`` is right more often."""

    def __init__(self, dies_at: int | None = None, n: int = 600) -> None:
        self.calls: list[tuple[tuple[str, ...], int]] = []
        self.dies_at = dies_at
        self.hard = np.random.default_rng(9).random(n)

    def __call__(self, overrides: Sequence[str], seed: int, folder: Path) -> Predictions:
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        self.calls.append((tuple(overrides), seed))
        rng = np.random.default_rng((seed, len("".join(overrides))))
        limit = 0.75 if "better=1" in overrides else 0.65
        right = self.hard + 0.1 * rng.normal(size=len(self.hard)) < limit
        labels = np.arange(len(right)) % 3
        shown = np.where(right, labels, (labels + 1) % 3)
        logits = (2.0 * np.eye(3)[shown]).astype(np.float32)
        names = tuple(f"{i}.png" for i in range(len(right)))
        return Predictions(names, ("a", "b", "c"), logits, labels.astype(np.int64), labels.astype(np.int64))


def test_what_was_planted_is_found_and_nothing_else(tmp_path: Path):
    variants = varied(["better=1", "same=0"])
    found = ablate(variants, SEEDS, Planted(), tmp_path)
    base, better, same = found.rows
    assert base.difference is None
    assert better.difference is not None
    assert same.difference is not None
    assert better.difference.low > 0
    assert better.difference.value == pytest.approx(0.1, abs=0.03)
    assert better.difference.value == pytest.approx(better.accuracy - base.accuracy)
    assert better.log_loss_difference is not None
    assert better.log_loss_difference.high < 0
    assert not excludes_zero(same.difference)


def test_a_killed_ablation_goes_on_where_it_was(tmp_path: Path):
    variants = varied(["better=1", "same=0"])
    first = Planted(dies_at=4)
    with pytest.raises(KeyboardInterrupt):
        ablate(variants, SEEDS, first, tmp_path)
    second = Planted()
    found = ablate(variants, SEEDS, second, tmp_path)
    assert len(first.calls) == 4
    assert len(second.calls) == 5
    assert not set(first.calls) & set(second.calls)
    at_once = ablate(variants, SEEDS, Planted(), tmp_path / "other")
    assert [row.difference for row in found.rows] == [row.difference for row in at_once.rows]
    third = Planted()
    ablate(variants, SEEDS, third, tmp_path)
    assert not third.calls


def test_jobs_of_other_settings_are_not_mixed_in(tmp_path: Path):
    ablate([Variant(BASE)], (0,), Planted(), tmp_path, resolve=lambda _: "epochs: 10")
    with pytest.raises(BadInput, match="'base' was run here with other settings"):
        ablate([Variant(BASE)], (0,), Planted(), tmp_path, resolve=lambda _: "epochs: 20")


def test_a_vote_over_variants_costs_no_runs(tmp_path: Path):
    jobs = Planted()
    variants = checked([Variant(BASE), Variant("vote", of=(BASE, "b")), Variant("b", ("better=1",))])
    found = ablate(variants, SEEDS, jobs, tmp_path)
    assert len(jobs.calls) == 6
    assert [row.name for row in found.rows] == [BASE, "b", "vote"]
    assert found.rows[2].cpu_s == pytest.approx(found.rows[0].cpu_s + found.rows[1].cpu_s)


def test_variants_that_are_the_base_are_left_out(tmp_path: Path):
    load = overrides_of(ImclsConfig(), tmp_path)
    variants = varied(["loss.criterion.smoothing=0,0.1"])
    jobs = Planted()
    found = ablate(variants, (0,), jobs, tmp_path, resolve=lambda given: dump(load(given)))
    assert [row.name for row in found.rows] == [BASE, "loss.criterion.smoothing=0.1"]


def test_a_fault_in_any_variant_is_said_before_the_first_is_run(tmp_path: Path):
    load = overrides_of(ImclsConfig(), tmp_path)
    jobs = Planted()
    with pytest.raises(ConfigError, match="did you mean 'smoothing'"):
        ablate(varied(["loss.criterion.smothing=0.1"]), (0,), jobs, tmp_path, resolve=lambda o: dump(load(o)))
    assert not jobs.calls


def test_what_is_varied():
    one_by_one = varied(["a=1,2", "b=[1, 2],{x: 1, y: 2},'u,v'"])
    assert [v.overrides for v in one_by_one] == [
        (),
        ("a=1",),
        ("a=2",),
        ("b=[1, 2]",),
        ("b={x: 1, y: 2}",),
        ("b='u,v'",),
    ]
    grid = varied(["a=1,2", "b=3,4"], grid=True)
    assert [v.name for v in grid] == [BASE, "a=1, b=3", "a=1, b=4", "a=2, b=3", "a=2, b=4"]
    for nothing in ("a", "a=", "=1"):
        with pytest.raises(BadInput, match="varies nothing"):
            varied([nothing])
    with pytest.raises(BadInput, match="same name"):
        varied(["a=1,1"])


def test_named_variants_from_a_file(tmp_path: Path):
    path = tmp_path / "variants.yaml"
    path.write_text("variants:\n  both: {of: [base, smooth]}\n  smooth: [a.b=0.1]\n  base: [c=1]\n")
    assert read_variants(path) == (
        Variant(BASE, ("c=1",)),
        Variant("smooth", ("a.b=0.1",)),
        Variant("both", of=(BASE, "smooth")),
    )
    path.write_text("variants:\n  both: {of: [base, smoth]}\n  smooth: [a.b=0.1]\n")
    with pytest.raises(BadInput, match="did you mean 'smooth'"):
        read_variants(path)
    path.write_text("variants:\n  smooth: 3\n")
    with pytest.raises(ConfigError):
        read_variants(path)


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Ablation:
    return ablate(varied(["better=1", "same=0"]), SEEDS, Planted(), tmp_path_factory.mktemp("ablation"))


def test_the_files_of_an_ablation(planted: Ablation, tmp_path: Path):
    write_ablation(tmp_path, planted)
    stored = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["name"] for row in stored["rows"]] == [BASE, "better=1", "same=0"]
    assert len((tmp_path / "ablation.csv").read_text().splitlines()) == 4
    page = (tmp_path / "ablation.html").read_text()
    assert "better=1" in page
    assert page.count("<svg class=") == 2


def test_tables_mark_what_is_sure(planted: Ablation):
    assert table(planted).flags == (None, "ok", None)
    rows = markdown(planted).splitlines()
    assert "**+" in rows[3]
    assert "**" not in rows[4].split("|")[3]


def test_heads_on_features_learn_and_every_trick_takes_part():
    """Features of digits; mixup, smoothing, EMA, BNNeck and mirrored views each change what comes out."""
    from sklearn.datasets import load_digits

    X, y = (np.asarray(part[:300]) for part in load_digits(return_X_y=True))
    plain = X.astype(np.float32)
    mirrored = X.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64).astype(np.float32)
    names = tuple(str(i) for i in range(300))
    known = Predictions(
        names, tuple("0123456789"), np.zeros((300, 10), np.float32), y.astype(np.int64), np.arange(300) % 2
    )
    base = {
        "train": {"epochs": 8, "optimizer": {"type": "adamw", "lr": 0.01}},
        "input": {"batch_size": 50, "augment": {"transforms": []}},
    }

    def judged(**changes: object) -> Predictions:
        config = ImclsConfig.model_validate(base | changes)
        return head_out_of_fold(plain, mirrored, known, config, 0)

    before = judged()
    assert (before.decisions() == y).mean() > 0.8
    np.testing.assert_array_equal(judged().logits, before.logits)
    changed = [
        judged(loss={"criterion": {"type": "cross_entropy", "smoothing": 0.1}}),
        judged(mix={"mixup": 0.4}),
        judged(train=base["train"] | {"ema": {"decay": 0.9}}),
        judged(model={"neck": {"bnneck": True}}),
        judged(evaluation={"tta": {"flips": ("horizontal",)}}),
        judged(input=base["input"] | {"augment": {"transforms": [{"type": "flip"}]}}),
    ]
    for after in changed:
        assert np.abs(after.logits - before.logits).max() > 1e-3
    with pytest.raises(BadInput, match="cutmix needs pixels"):
        judged(mix={"cutmix": 1.0})
