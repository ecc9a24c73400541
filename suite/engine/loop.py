"""The training loop: `fit` reads top to bottom; its parts have files of their own.

Positions count from 0: epoch e, batch b of it, optimizer step s (several batches with accumulation).
Everything a step depends on is either a pure function of (seed, epoch, batch) or in the checkpoint, so that a
training killed anywhere and resumed ends, on a CPU, with the same bits.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from suite.engine import checkpoint, random_state
from suite.engine.batch import move
from suite.engine.distributed import gather, largest_of_ranks, mean_of_ranks, start_fabric, without_sync
from suite.engine.ema import Ema
from suite.engine.finite import FiniteWatch
from suite.engine.interrupts import Interrupted, Interrupts, Stopped
from suite.engine.logs import Log, Means, ticks
from suite.engine.optimizers import build_optimizer, parameter_groups, set_learning_rate
from suite.engine.options import EngineOptions
from suite.engine.position import Clock, Position
from suite.engine.precision import Precision, lay_out, probe
from suite.engine.schedules import LearningRate
from suite.errors import BadInput


class Batches(Protocol):
    """Batches as a pure function of (epoch, start), so that resuming needs no state of a loader."""

    def __len__(self) -> int:
        """Batches in an epoch, on this rank; the same on all of them."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Batches ``start``, ``start`` + 1, ... of that epoch, tensors in any structure."""
        ...


LossFn = Callable[[nn.Module, Any], Mapping[str, Tensor]]
"""(model, batch on the device) -> {"loss": scalar to minimise, other scalars to log}; calls that model."""
Evaluate = Callable[[nn.Module, int], Mapping[str, float]]
"""(model or its average, in eval mode, fp32, no gradients; epoch) -> figures of the epoch."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gave."""

    model: nn.Module
    """The model that was given, in eval mode; with EMA, holding the average."""
    history: list[dict[str, Any]]
    """For each epoch: epoch, step, lr, means of loss terms, figures of evaluation and its CPU seconds; cpu_s,
    wall_s so far."""
    cpu_s: float
    """Of this process, with what came before a resume; evaluation and checkpoints included."""
    wall_s: float
    precision: Precision
    best_epoch: int | None
    """Epoch in which the watched figure was best; None when it never was a number."""


def fit(
    model: nn.Module,
    loss: LossFn,
    batches: Batches,
    options: EngineOptions,
    folder: Path,
    *,
    evaluate: Evaluate | None = None,
    layers: Mapping[str, int] | None = None,
    new: Collection[str] = (),
    watch: str = "loss",
    better: Literal["lower", "higher"] = "lower",
    resume: bool = False,
    describe: str = "Training",
    identity: str = "",
) -> Trained:
    """Train ``model`` in place; writes ``folder``/checkpoint.pt, log.csv and, if asked, TensorBoard events.

    ``layers`` (parameter name -> depth, 0 = stem) serves ``layer_decay``, ``new`` (prefixes of names)
    ``new_lr``. ``watch`` is the figure of the epoch by which plateau and best epoch go. ``identity`` says
    what a checkpoint belongs to. Under torchrun every process calls this with its share of the batches.

    Raises BadInput (a checkpoint is there and ``resume`` is False; one that is damaged or another's; nothing
    to train), NotFinite (the loss), Stopped (SIGTERM, Ctrl-C: saved), BackendUnavailable (no GPU).
    """
    # Where it runs, how it computes, and where it stands.
    per_epoch, path = len(batches), folder / checkpoint.NAME
    if per_epoch == 0:
        raise BadInput("there is no batch to train on", hint="more images, or smaller batches")
    if path.exists() and not resume:
        raise BadInput("a training is here already", path, "resume it, or choose another folder")
    fabric = start_fabric(options.accelerator, "fp32")
    saved = checkpoint.read_checkpoint(path, identity, fabric.world_size) if resume else None
    at = Position(**saved["position"]) if saved else Position()
    if resume and not saved and fabric.is_global_zero:
        print(f"{describe}: no {path} to resume, so it starts", file=sys.stderr)
    random_state.seed_all(options.seed, fabric.global_rank)
    if saved:
        precision = Precision(**saved["precision"])
    else:
        precision = probe(model, loss, lambda: next(iter(batches.epoch(0, 0))), options, fabric.device)
        precision = fabric.broadcast(precision)
    if precision.dtype != "fp32":
        fabric = start_fabric(options.accelerator, precision.dtype)

    # What is trained, and everything that changes with it.
    model = lay_out(model.to(fabric.device), precision)
    if saved:
        checkpoint.load_weights(model, saved["model"], path)
    optimizer = build_optimizer(options, parameter_groups(model, options, layers, new))
    if saved:
        checkpoint.load_optimizer(optimizer, saved["optimizer"], path)
    net, stepper = fabric.setup(model, optimizer)
    average = Ema(model, options.ema) if options.ema else None
    learning_rate = LearningRate(options, math.ceil(per_epoch / options.accumulate), better)
    means = Means()
    if saved:
        checkpoint.load_average(average.module if average else None, saved["ema"], path)
        learning_rate.load_state_dict(saved["learning_rate"])
        means.load_state_dict(saved["means"])
        random_state.restore(saved["random"][fabric.global_rank])
    finite, clock, main = FiniteWatch(folder), Clock(at), fabric.is_global_zero

    def save() -> None:
        finite.settle()
        clock.note()
        state = {
            "identity": identity,
            "world": fabric.world_size,
            "precision": asdict(precision),
            "position": asdict(at),
            "model": model.state_dict(),
            "ema": average.module.state_dict() if average else None,
            "optimizer": optimizer.state_dict(),
            "learning_rate": learning_rate.state_dict(),
            "means": means.state_dict(),
            "random": gather(fabric, random_state.capture()),
        }
        if main:
            checkpoint.write_checkpoint(path, state)
        fabric.barrier()
        clock.saved(at.step)

    ahead = per_epoch * (options.epochs - at.epoch) - at.batch
    bar = ticks(ahead, describe, show=main and ahead > 0)
    log = Log(folder, keep=at.lines, step=at.step, tensorboard=options.tensorboard, write=main)
    with Interrupts() as asked, log, closing(bar):
        while at.epoch < options.epochs:
            net.train()
            for batch in _rest_of_epoch(batches, at):
                next(bar)
                # One batch: its gradient, as a share of the group that makes one optimizer step.
                batch = move(batch, fabric.device)
                first = at.batch - at.batch % options.accumulate
                size = min(options.accumulate, per_epoch - first)
                complete = at.batch + 1 == first + size
                with without_sync(fabric, net, quiet=not complete):
                    terms = loss(net, batch)
                    finite.look(terms["loss"], batch, at.epoch, at.batch, at.step)
                    fabric.backward(terms["loss"] / size if size > 1 else terms["loss"])
                means.add(terms)
                at.batch += 1
                if not complete:
                    continue

                # One optimizer step.
                if options.clip_norm is not None:
                    fabric.clip_gradients(net, stepper, max_norm=options.clip_norm, error_if_nonfinite=False)
                factor = learning_rate(at.step)
                set_learning_rate(optimizer, factor)
                stepper.step()
                stepper.zero_grad()
                at.step += 1
                if average:
                    average.update(at.step)

                # Now and then, inside an epoch: a line in the log, a checkpoint, a look whether to stop.
                inside = at.batch < per_epoch
                logging = inside and at.step % options.log_steps == 0
                if logging:
                    line = {"lr": options.optimizer.lr * factor, **mean_of_ranks(fabric, means.take("line"))}
                    at.lines = log.line(at.step, at.epoch + at.batch / per_epoch, line)
                if logging or (inside and fabric.world_size == 1):  # ranks agree when they meet anyway
                    number = largest_of_ranks(fabric, asked.signal_number)
                    if largest_of_ranks(fabric, int(clock.due(at.step, options))) or number:
                        save()
                    if number:
                        raise Stopped(number, path, at.epoch, at.step)

            # The end of an epoch: its figures, a line in the log, a checkpoint.
            finite.settle()
            random_before = random_state.capture()
            before = time.process_time()
            try:
                with asked.at_once(fabric.world_size == 1):
                    found = _evaluated(evaluate, average.module if average else model, at.epoch)
            except Interrupted as interrupted:  # resuming begins with this evaluation
                random_state.restore(random_before)
                save()
                raise Stopped(interrupted.signal_number, path, at.epoch, at.step) from None
            judged = {"evaluation_cpu_s": time.process_time() - before}
            found = mean_of_ranks(fabric, found)
            line, terms = (mean_of_ranks(fabric, means.take(since)) for since in ("line", "epoch"))
            figure = _watched(watch, terms, found)
            rate = options.optimizer.lr * learning_rate(at.step - 1)
            learning_rate.end_epoch(figure)
            at.note_best(figure, better)
            clock.note()
            spent = {"cpu_s": at.cpu_s, "wall_s": at.wall_s}
            at.history.append(
                {"epoch": at.epoch, "step": at.step, "lr": rate, **terms, **found, **judged, **spent}
            )
            at.epoch, at.batch = at.epoch + 1, 0
            at.lines = log.line(at.step, at.epoch, {"lr": rate, **line, **found})
            save()
            if number := largest_of_ranks(fabric, asked.signal_number):
                raise Stopped(number, path, at.epoch, at.step)
        next(bar, None)  # says that it is done

    if average:
        model.load_state_dict(average.module.state_dict())
    return Trained(model.eval(), at.history, at.cpu_s, at.wall_s, precision, at.best_epoch)


def _rest_of_epoch(batches: Batches, at: Position) -> Iterator[Any]:
    left = len(batches) - at.batch
    if left == 0:  # the run ended between the last step of an epoch and its evaluation
        return
    for batch in batches.epoch(at.epoch, at.batch):
        left -= 1
        if left < 0:
            break
        yield batch
    if left:
        raise ValueError(
            f"epoch {at.epoch} does not have the {len(batches)} batches that its length promises"
        )


def _evaluated(evaluate: Evaluate | None, model: nn.Module, epoch: int) -> dict[str, float]:
    if evaluate is None:
        return {}
    model.eval()
    with torch.no_grad():
        return {name: float(value) for name, value in evaluate(model, epoch).items()}


def _watched(watch: str, terms: Mapping[str, float], found: Mapping[str, float]) -> float:
    if both := terms.keys() & found.keys():
        raise ValueError(f"evaluation and training both have a figure {', '.join(sorted(both))}; rename one")
    figures = {**terms, **found}
    if watch not in figures:
        raise BadInput(f"no figure {watch!r} to watch", hint=f"there are {', '.join(figures)}")
    return figures[watch]
