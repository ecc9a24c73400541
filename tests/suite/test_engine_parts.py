"""Laws of the engine's parts: schedules, average, groups of parameters, orders, the log."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from suite.engine import options as settings
from suite.engine.batch import move, tensors
from suite.engine.ema import Ema
from suite.engine.logs import Log, Means, read_log
from suite.engine.optimizers import build_optimizer, parameter_groups, set_learning_rate
from suite.engine.options import Constant, Cosine, EngineOptions, Linear, MultiStep, Plateau
from suite.engine.order import epoch_generator, epoch_order, rank_slice
from suite.engine.schedules import LearningRate, lr_factor

totals = st.integers(1, 400).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))
falling = st.one_of(
    st.floats(0, 0.99).map(lambda end: Cosine(end=end)), st.floats(0, 0.99).map(lambda end: Linear(end=end))
)


@given(falling, totals)
def test_warm_up_rises_to_the_full_rate_and_then_it_falls_to_the_end(
    schedule: Cosine | Linear, lengths: tuple[int, int]
):
    total, warmup = lengths
    factors = [lr_factor(schedule, step, total, warmup) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors[:warmup])
    assert np.all(np.diff(factors[:warmup]) > 0)
    assert np.all(np.diff(factors[max(0, warmup - 1) :]) <= 1e-12)
    assert max(factors) == 1
    if warmup < total:
        assert factors[warmup] == 1
        assert lr_factor(schedule, total, total, warmup) == pytest.approx(schedule.end, abs=1e-12)
    assert min(factors[warmup:], default=1) >= schedule.end - 1e-12


def test_schedules_at_points_known_by_hand():
    assert [lr_factor(Cosine(), step, 10, 2) for step in (0, 1, 2, 6)] == pytest.approx([0.5, 1, 1, 0.5])
    assert lr_factor(Cosine(end=0.2), 6, 10, 2) == pytest.approx(0.6)
    assert lr_factor(Cosine(), 3, 8, 0) == pytest.approx(0.5 * (1 + math.cos(math.pi * 3 / 8)))
    assert [lr_factor(Linear(), step, 10, 2) for step in (2, 4, 6, 9)] == pytest.approx([1, 0.75, 0.5, 0.125])
    steps = MultiStep(milestones=(0.5, 0.8), gamma=0.1)
    assert [lr_factor(steps, step, 10, 0) for step in (4, 5, 7, 8)] == pytest.approx([1, 0.1, 0.1, 0.01])
    assert lr_factor(Constant(), 9, 10, 0) == 1


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_plateau_waits_falls_and_is_remembered(better: Literal["lower", "higher"]):
    sign = 1 if better == "lower" else -1
    chosen = EngineOptions(epochs=10, schedule=Plateau(patience=2, gamma=0.5, threshold=0.1), warmup_epochs=0)
    rate = LearningRate(chosen, 4, better)
    factors = []
    for figure in (5, 4, 3.95, 3.95, 3.0, 3.0, math.nan, 3.0, 3.0):
        rate.end_epoch(sign * figure)
        factors.append(rate(20))
        resumed = LearningRate(chosen, 4, better)
        resumed.load_state_dict(rate.state_dict())
        rate = resumed
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_part_of_an_epoch_of_warm_up():
    rate = LearningRate(EngineOptions(epochs=2, warmup_epochs=0.5, schedule=Constant()), 8, "lower")
    assert [rate(step) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    long = LearningRate(EngineOptions(epochs=2, warmup_epochs=50, schedule=Constant()), 8, "lower")
    assert long(15) == 1  # cut to the training


class Counting(nn.Module):
    """A weight, a floating and an integer buffer."""

    statistic: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.register_buffer("statistic", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))


@given(st.floats(0.01, 0.999), st.booleans(), st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_the_average_has_its_closed_form(decay: float, warmup: bool, weights: list[float]):
    model = Counting()
    average = Ema(model, settings.Ema(decay=decay, warmup=warmup))
    expected, seen = 1.0, 0.0
    for step, weight in enumerate(weights, 1):
        with torch.no_grad():
            model.weight.fill_(weight)
            model.statistic.fill_(-weight)
            model.count.fill_(step)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step)) if warmup else decay
        expected, seen = kept * expected + (1 - kept) * weight, kept * seen - (1 - kept) * weight
    state = average.module.state_dict()
    assert state["weight"].item() == pytest.approx(expected, abs=1e-9)
    assert state["statistic"].tolist() == pytest.approx([seen, seen], abs=1e-9)
    assert state["count"].item() == len(weights)
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    assert model.weight.item() == weights[-1]


def body_and_head() -> nn.Module:
    """Depths 0, 1, 2 and a head."""
    blocks = [(f"block{depth}", nn.Conv2d(2, 2, 1)) for depth in range(3)]
    return nn.Sequential(OrderedDict([*blocks, ("norm", nn.BatchNorm2d(2)), ("head", nn.Linear(2, 2))]))


DEPTHS = {f"block{depth}.{part}": depth for depth in range(3) for part in ("weight", "bias")}


def group_of(groups: list[dict[str, Any]], name: str) -> tuple[float, float]:
    found = [group for group in groups if name in group["names"]]
    assert len(found) == 1
    return found[0]["lr"], found[0]["weight_decay"]


def test_groups_hold_each_trainable_parameter_once_merged_by_rate_and_decay():
    model = body_and_head()
    model.get_parameter("block0.weight").requires_grad_(False)
    chosen = EngineOptions(
        optimizer=settings.Sgd(lr=1, weight_decay=0.1), bias_lr=2, layer_decay=0.5, new_lr=10
    )
    groups = parameter_groups(model, chosen, DEPTHS, ("head.",))
    assert group_of(groups, "block1.weight") == (0.5, 0.1)
    assert group_of(groups, "block2.weight") == (1, 0.1)
    assert group_of(groups, "block0.bias") == (0.5, 0)
    assert group_of(groups, "block2.bias") == (2, 0)
    assert group_of(groups, "norm.weight") == (1, 0)
    assert group_of(groups, "norm.bias") == (2, 0)
    assert group_of(groups, "head.weight") == (10, 0.1)
    assert group_of(groups, "head.bias") == (20, 0)
    keys = [(group["lr"], group["weight_decay"]) for group in groups]
    assert len(set(keys)) == len(keys)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sorted(name for group in groups for name in group["names"]) == sorted(trainable)
    assert sum(len(group["params"]) for group in groups) == len(trainable)


def test_without_special_wishes_there_is_one_group_or_two():
    model = body_and_head()
    assert len(parameter_groups(model, EngineOptions(no_decay=False))) == 1
    assert sorted(group["weight_decay"] for group in parameter_groups(model, EngineOptions())) == [0, 0.05]


@pytest.mark.parametrize(
    "chosen", [settings.Sgd(), settings.Sgd(momentum=0), settings.AdamW(), settings.Rmsprop()]
)
def test_optimizers_follow_their_settings_and_the_factor(chosen: settings.Optimizer):
    whole = EngineOptions(optimizer=chosen, new_lr=3)
    optimizer = build_optimizer(whole, parameter_groups(body_and_head(), whole, new=("head.",)))
    set_learning_rate(optimizer, 0.25)
    set_learning_rate(optimizer, 0.5)  # of the full rate, not of the last
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["names"]}
    assert rates["block1.weight"] == pytest.approx(chosen.lr / 2)
    assert rates["head.weight"] == pytest.approx(1.5 * chosen.lr)
    for name in ("momentum", "alpha", "eps", "betas"):
        if hasattr(chosen, name):
            assert optimizer.param_groups[0][name] == getattr(chosen, name)


@given(st.integers(0, 200), st.integers(-5, 2**40), st.integers(0, 30))
def test_orders_are_permutations_and_repeat(n: int, seed: int, epoch: int):
    order = epoch_order(n, seed, epoch)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n))
    assert np.array_equal(order, epoch_order(n, seed, epoch))
    if n > 20:
        assert not np.array_equal(order, epoch_order(n, seed, epoch + 1))
        assert not np.array_equal(order, epoch_order(n, seed + 1, epoch))
    assert epoch_generator(seed, epoch, 1).random() != epoch_generator(seed, epoch, 2).random()


@given(st.integers(0, 50), st.integers(1, 8))
def test_shares_are_equal_and_together_the_batch(n: int, world: int):
    indices = np.arange(100, 100 + n)
    shares = [rank_slice(indices, rank, world) for rank in range(world)]
    assert {len(share) for share in shares} == {-(-n // world)}
    together = np.concatenate(shares)
    assert np.array_equal(together[:n], indices)
    assert set(together) == set(indices)


def test_tensors_of_a_batch_by_name():
    batch = {"a": [torch.ones(2), "text"], "b": (torch.zeros(1), None)}
    assert list(tensors(batch)) == ["batch.a.0", "batch.b.0"]
    moved = move(batch, torch.device("meta"))
    assert moved["a"][0].is_meta
    assert moved["a"][1] == "text"
    assert isinstance(moved["b"], tuple)
    assert not batch["a"][0].is_meta  # pyright: ignore


def test_means_do_not_depend_on_when_they_are_settled():
    values = torch.rand(600, generator=torch.Generator().manual_seed(0))
    lazy, eager = Means(), Means()
    for number, value in enumerate(values):
        terms = {"loss": value} if number % 3 else {"loss": value, "rare": 2 * value}
        lazy.add(terms)
        eager.add(terms)
        eager.load_state_dict(eager.state_dict())
    found = lazy.take("line")
    assert found == eager.take("line")
    assert found["loss"] == pytest.approx(values.double().mean().item(), abs=1e-12)
    assert found["rare"] == pytest.approx(2 * values[::3].double().mean().item(), abs=1e-7)
    assert lazy.take("line") == {}
    assert lazy.take("epoch") == found


def test_the_log_grows_columns_and_is_cut_back(tmp_path: Path):
    with Log(tmp_path, keep=0, step=0) as log:
        assert log.line(1, 0.5, {"loss": 1.0}) == 1
        assert log.line(2, 1, {"loss": 0.25, "accuracy, top 5": 0.5}) == 2
        assert log.line(3, 1.5, {"loss": 0.125}) == 3
    assert (tmp_path / "log.csv").read_text() == (
        'step,epoch,loss,"accuracy, top 5"\n1,0.5,1,\n2,1,0.25,0.5\n3,1.5,0.125,\n'
    )
    with Log(tmp_path, keep=1, step=1) as log:
        assert read_log(log.path) == [{"step": "1", "epoch": "0.5", "loss": "1"}]
        assert log.line(2, 1, {"loss": 0.5}) == 2
    assert (tmp_path / "log.csv").read_text() == "step,epoch,loss\n1,0.5,1\n2,1,0.5\n"
    with Log(tmp_path / "silent", keep=0, step=0, write=False) as log:
        assert log.line(1, 1, {}) == 1
    assert not (tmp_path / "silent").exists()
