"""The loop: it learns, adds up gradients rightly, hands out the right model, and stops at a bad loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import engine_problem as problem
import pytest
import torch
from engine_problem import Batch, Batches
from torch import Tensor, nn

from suite.engine import precision, random_state
from suite.engine.finite import NotFinite
from suite.engine.loop import fit
from suite.engine.options import AdamW, Constant, Ema, EngineOptions, Plateau, Rmsprop, Sgd
from suite.errors import BackendUnavailable, BadInput


def plain(**changes: Any) -> EngineOptions:
    """fp32 on the CPU, a constant rate, nothing else."""
    given = {
        "epochs": 1,
        "optimizer": Sgd(lr=0.1),
        "schedule": Constant(),
        "warmup_epochs": 0,
        "precision": "fp32",
        "channels_last": "no",
        "accelerator": "cpu",
    }
    return EngineOptions(**(given | changes))


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.05), AdamW(lr=0.01), Rmsprop(lr=0.003)])
def test_a_tiny_problem_is_learned_by_heart(tmp_path: Path, optimizer: Any):
    settings = plain(epochs=15, optimizer=optimizer, ema=Ema(decay=0.9), warmup_epochs=1)
    trained = fit(
        problem.network(0), problem.loss, Batches(noise=0), settings, tmp_path, evaluate=problem.accuracy
    )
    assert trained.history[-1]["loss"] < 0.1 < trained.history[0]["loss"]
    assert trained.history[-1]["accuracy"] == 1
    assert problem.accuracy(trained.model, 0) == {"accuracy": 1}
    assert not trained.model.training
    assert len(trained.history) == 15
    assert trained.history[-1]["step"] == 15 * 7
    assert trained.cpu_s > 0
    assert trained.wall_s > 0


def test_accumulated_gradients_are_those_of_the_big_batch(tmp_path: Path):
    """52 images: 3 groups of 4 batches of 4 and a last of one; as 16, 16, 16 and 4."""
    weights = []
    for batch, accumulate in ((4, 4), (16, 1)):
        model = problem.network(0, norm=False)
        settings = plain(accumulate=accumulate)
        fit(model, problem.loss, Batches(batch), settings, tmp_path / str(batch))
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    start = torch.cat([p.detach().flatten() for p in problem.network(0, norm=False).parameters()])
    assert torch.allclose(weights[0], weights[1], atol=1e-6)
    assert not torch.allclose(weights[0], start, atol=1e-2)


def test_the_loop_is_the_plain_loop(tmp_path: Path):
    trained = fit(problem.network(0), problem.loss, Batches(), plain(epochs=2), tmp_path)
    model = problem.network(0)
    optimizer = torch.optim.SGD(groups_by_decay(model), 0.1, 0.9, nesterov=True)
    model.train()
    for epoch in range(2):
        for batch in Batches().epoch(epoch):
            optimizer.zero_grad()
            problem.loss(model, batch)["loss"].backward()
            optimizer.step()
    for ours, theirs in zip(trained.model.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def groups_by_decay(model: nn.Module) -> list[dict[str, Any]]:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": 5e-4}, {"params": vectors, "weight_decay": 0.0}]


def test_long_gradients_are_cut_to_the_norm(tmp_path: Path):
    model = problem.network(0, norm=False)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    settings = plain(optimizer=Sgd(lr=1, momentum=0, weight_decay=0), clip_norm=1e-3)
    fit(model, problem.loss, Batches(problem.SIZE), settings, tmp_path)
    moved = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


class Frozen(nn.Module):
    """Keeps its batch norm in eval mode through train(), as a classifier with frozen parts does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = problem.network()
        self.net[1].requires_grad_(False)  # pyright: ignore

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.net[1].eval()  # pyright: ignore
        return self


@pytest.mark.parametrize("ema", [None, Ema(decay=0.5)])
def test_modes_in_and_after_evaluation(tmp_path: Path, ema: Ema | None):
    model = Frozen()
    statistics = model.net[1].running_mean.clone()  # pyright: ignore
    modes, judged = [], []

    def loss(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        modes.append((model.training, model.net[3].training, model.net[1].training))  # pyright: ignore
        return problem.loss(net, batch)

    def evaluate(given: nn.Module, epoch: int) -> dict[str, float]:
        assert not any(module.training for module in given.modules())
        assert not torch.is_grad_enabled()
        assert (given is model) == (ema is None)
        judged.append(given.state_dict()["net.5.weight"].clone())
        return {}

    trained = fit(model, loss, Batches(), plain(epochs=2, ema=ema), tmp_path, evaluate=evaluate)
    assert set(modes) == {(True, True, False)}
    assert trained.model is model
    assert torch.equal(model.net[1].running_mean, statistics)  # pyright: ignore
    assert torch.equal(model.net[5].weight, judged[-1])  # pyright: ignore  what was judged is what comes back


def poisoned(epoch: int, number: int, value: float) -> Any:
    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = problem.loss(model, batch)
        bad = (batch.epoch, batch.number) == (epoch, number)
        return {**terms, "loss": terms["loss"] * value if bad else terms["loss"]}

    return loss


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_names_the_step_and_saves_the_batch(
    tmp_path: Path, value: float, shown: str
):
    with pytest.raises(NotFinite, match=f"the loss is {shown} in epoch 1, batch 2") as caught:
        fit(problem.network(), poisoned(1, 2, value), Batches(), plain(epochs=3), tmp_path)
    error = caught.value
    assert (error.epoch, error.batch, error.step, error.exit_code) == (1, 2, 9, 1)
    assert "\n" not in str(error)
    assert str(tmp_path / "nan_batch.pt") in str(error)
    held = torch.load(tmp_path / "nan_batch.pt", weights_only=True)
    expected = next(Batches().epoch(1, 2))
    assert torch.equal(held["batch.images"], expected.images)
    assert torch.equal(held["batch.targets"], expected.targets)
    weights = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@dataclasses.dataclass(frozen=True)
class Nested:
    images: Tensor
    rest: dict[str, Any]


class NestedBatches(Batches):
    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        for batch in super().epoch(epoch, start):
            yield Nested(batch.images, {"targets": [batch.targets], "name": "a", "share": 0.5, "no": None})


def test_batches_of_any_structure_pass_unharmed(tmp_path: Path):
    def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        assert isinstance(batch, Nested)
        assert (batch.rest["name"], batch.rest["share"], batch.rest["no"]) == ("a", 0.5, None)
        return problem.loss(model, Batch(batch.images, batch.rest["targets"][0], 0, 0))

    def named(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        assert isinstance(batch, Batch)
        assert isinstance(batch.number, int)
        return problem.loss(model, batch)

    nested = fit(problem.network(), loss, NestedBatches(), plain(), tmp_path / "a")
    tuples = fit(problem.network(), named, Batches(), plain(), tmp_path / "b")
    assert nested.history[0]["loss"] == tuples.history[0]["loss"]


def test_the_trial_leaves_everything_as_it_was(tmp_path: Path):
    model = problem.network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state.seed_all(5)
    expected = torch.rand(4)
    random_state.seed_all(5)
    settings = plain(channels_last="auto")
    found = precision.probe(
        model, problem.loss, lambda: next(Batches().epoch(0)), settings, torch.device("cpu")
    )
    assert found.dtype == "fp32"
    assert "fp32 channels_last" in found.reason
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.rand(4), expected)


def test_bf16_is_tried_only_where_it_can_pay(monkeypatch: pytest.MonkeyPatch):
    model, cpu = problem.network(), torch.device("cpu")
    settings = plain(precision="auto", channels_last="auto")
    ways = {}
    for native in (True, False):
        monkeypatch.setattr(precision, "native_bf16", lambda _, native=native: native)
        ways[native] = [str(way) for way in precision.candidates(model, settings, cpu)]
    assert ways[False] == ["fp32", "fp32 channels_last"]
    assert ways[True] == [*ways[False], "bf16 channels_last"]
    monkeypatch.setattr(precision, "native_bf16", lambda _: False)
    found = precision.probe(model, problem.loss, lambda: next(Batches().epoch(0)), settings, cpu)
    assert "bf16 not tried" in found.reason
    flat = nn.Linear(3, 3)  # no images: the order in memory means nothing
    assert [str(way) for way in precision.candidates(flat, settings, cpu)] == ["fp32"]


def test_bf16_when_asked_for(tmp_path: Path):
    types = set()

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        handle = (model.module if hasattr(model, "module") else model)[5].register_forward_hook(  # pyright: ignore
            lambda _module, _inputs, output: types.add(output.dtype)
        )
        terms = problem.loss(model, batch)
        handle.remove()
        types.add(terms["loss"].dtype)
        return terms

    settings = plain(precision="bf16", channels_last="yes")
    trained = fit(problem.network(), loss, Batches(), settings, tmp_path)
    assert types == {torch.bfloat16, torch.float32}
    assert str(trained.precision) == "bf16 channels_last"
    assert all(parameter.dtype == torch.float32 for parameter in trained.model.parameters())


def test_what_cannot_be_trained_is_one_line(tmp_path: Path):
    class Empty(Batches):
        def __len__(self) -> int:
            return 0

    class Short(Batches):
        def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
            yield from list(super().epoch(epoch, start))[:-1]

    model = problem.network()
    with pytest.raises(BadInput, match="there is no batch to train on"):
        fit(model, problem.loss, Empty(), plain(), tmp_path / "a")
    with pytest.raises(BadInput, match="no parameter is left to train"):
        fit(problem.network().requires_grad_(False), problem.loss, Batches(), plain(), tmp_path / "b")
    with pytest.raises(BadInput, match="no figure 'f1' to watch; there are loss, twice"):
        fit(model, problem.loss, Batches(), plain(), tmp_path / "c", watch="f1")
    with pytest.raises(ValueError, match="does not have the 7 batches"):
        fit(model, problem.loss, Short(), plain(), tmp_path / "d")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        with pytest.raises(BackendUnavailable, match="a GPU is not available"):
            fit(model, problem.loss, Batches(), plain(accelerator="gpu"), tmp_path / "e")


def test_best_epoch_and_plateau_go_by_the_watched_figure(tmp_path: Path):
    figures = [0.5, 0.9, 0.7, math.nan, 0.9]
    trained = fit(
        problem.network(),
        problem.loss,
        Batches(),
        plain(epochs=5, schedule=Plateau(patience=1, gamma=0.5)),
        tmp_path,
        evaluate=lambda model, epoch: {"score": figures[epoch]},
        watch="score",
        better="higher",
    )
    assert trained.best_epoch == 1
    assert [row["lr"] for row in trained.history] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.025])


def test_tensorboard_when_asked_for(tmp_path: Path):
    fit(problem.network(), problem.loss, Batches(), plain(tensorboard=True), tmp_path)
    assert [path.name.split(".")[0] for path in (tmp_path / "tensorboard").iterdir()] == ["events"]
    fit(problem.network(), problem.loss, Batches(), plain(), tmp_path / "without")
    assert not (tmp_path / "without" / "tensorboard").exists()
