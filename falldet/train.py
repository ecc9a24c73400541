"""From labelled pictures to a detector that knows its threshold: read first.

    sets -> batches -> detector -> threshold, chosen on pictures held back -> figures on the test sets ->
    report

A run folder holds training/{checkpoint.pt, log.csv}, model.safetensors, history.json, metrics.json,
report.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from falldet.config import FalldetConfig
from falldet.data.batches import Batch, Pool, TrainBatches
from falldet.data.formats.read import read_labelled
from falldet.data.labelled import LabelledSet
from falldet.data.options import CocoSource
from falldet.data.split import hold_back
from falldet.detections import Detecting
from falldet.evaluate import Operating, choose, judge, look_at, notes_on, told_of
from falldet.metrics.ranking import ap50
from falldet.metrics.thresholds import Choice
from falldet.model.file import Model, ModelCard, options_of, write_model
from falldet.model.start import NCNN, depths, new_parameters, started_detector
from falldet.model.target import Sizes, Target
from falldet.models import model_file, shipped_names
from suite.engine.distributed import rank_and_world
from suite.engine.loop import Trained, fit
from suite.environment import packages
from suite.errors import BadInput
from suite.files import atomic_write
from suite.report.metric import Metric
from suite.run import Run

MODEL, HISTORY, TRAINING = "model.safetensors", "history.json", "training"
_NAMED = ("torch", "torchvision", "vision-suite")


class Sets(NamedTuple):
    """What is learned from, chosen on and reported on."""

    pools: tuple[Pool, ...]
    develop: LabelledSet
    tests: tuple[LabelledSet, ...]


def train(config: FalldetConfig, run: Run, resume: bool = False) -> None:
    """Train a detector, choose its threshold, and write model, figures and report into ``run``."""
    if rank_and_world()[1] > 1:
        raise BadInput("was started by several processes", where="falldet train", hint="start it as one")
    config = named(config)
    sets = read_sets(config)
    record_inputs(config, run)
    if config.engine == "mmdet":
        _train_mmdet(config, sets, run)
        return
    detector, trained = train_detector(config, sets, run.folder / TRAINING, resume)
    with atomic_write(run.path(HISTORY), "w") as stream:
        json.dump(trained.history, stream, indent=1)
    model = Model(detector, card_of(config, sets, trained))
    choice = choose(model, sets.develop, config.evaluation.threshold)
    card = model.card.model_copy(update={"threshold": choice.threshold, "not_fallen_floor": choice.floor})
    write_model(run.path(MODEL), detector, card, half=config.half)
    run.add_metrics(
        [Metric("train_cpu_h", trained.cpu_s / 3600, "h", "lower", note="CPU time of the training")]
    )
    _judge(run, Model(detector, card), config, sets, choice)


def named(config: FalldetConfig) -> FalldetConfig:
    """The same with the file that ``model.weights`` stands for, where it is the name of a shipped model."""
    weights = config.model.weights
    if weights is None or str(weights) not in shipped_names():
        return config
    model = config.model.model_copy(update={"weights": model_file(weights)})
    return config.model_copy(update={"model": model})


def read_sets(config: FalldetConfig) -> Sets:
    """Every set, checked. Raises BadInput where there is nothing to learn from."""
    data = config.data
    if not data.train:
        raise BadInput(
            "no set to learn from", "data.train", "name one, as in the recipes (falldet check --list)"
        )
    learned = [read_labelled(pool.source) for pool in data.train]
    if data.develop is not None:
        develop = read_labelled(data.develop)
    else:
        learned[0], develop = hold_back(learned[0], data.develop_share, config.train.seed)
    pools = tuple(Pool(one, pool.share) for one, pool in zip(learned, data.train, strict=True))
    return Sets(pools, develop, tuple(read_labelled(source) for source in data.test))


def record_inputs(config: FalldetConfig, run: Run) -> None:
    """Note hashes of the COCO files and of the weights to start from, those that are not noted yet."""
    data = config.data
    sources = [*(pool.source for pool in data.train), data.develop, *data.test]
    files = [source.file for source in sources if isinstance(source, CocoSource)]
    if config.engine == "suite" and config.model.weights is not None:
        weights = config.model.weights
        files += [weights, weights.with_suffix(".bin")] if weights.suffix == NCNN else [weights]
    noted = {entry["path"] for entry in run.inputs}  # by a run that is taken up again
    for file in dict.fromkeys(files):
        if str(file) not in noted and file.is_file():  # what is missing is told where it is read
            run.add_input(file)


class Learner(nn.Module):
    """A detector whose forward pass gives its losses, as the engine calls models."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor, sizes_px: Sizes, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Loss terms."""
        return self.detector.losses(images, sizes_px, targets)  # pyright: ignore[reportCallIssue]


def train_detector(
    config: FalldetConfig, sets: Sets, folder: Path, resume: bool = False
) -> tuple[nn.Module, Trained]:
    """Train on the pools; checkpoints and logs go to ``folder``. Raises what the engine's `fit` raises."""
    torch.manual_seed(config.train.seed)
    detector, taken = started_detector(config.model, sets.develop.classes, config.pixels)
    begun = {
        name: parameter.detach().clone()
        for name, parameter in detector.named_parameters()
        if name.startswith(taken)
    }
    batches = _batches(config, sets)
    card = card_of(config, sets)
    every, last = config.evaluation.every_epochs, config.train.epochs - 1

    def loss(net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = net(batch.images, batch.sizes_px, batch.targets)
        return {"loss": sum(terms.values(), torch.zeros(())), **terms}

    def evaluate(net: nn.Module, epoch: int) -> dict[str, float]:
        if not every or ((epoch + 1) % every and epoch != last):
            return {}
        assert isinstance(net, Learner)
        look = look_at(Model(net.detector, card), sets.develop)
        fallen, not_fallen = ap50(look.predictions, look.labelled)
        return {"ap50_fallen": fallen, "ap50_not_fallen": not_fallen, "ap50": (fallen + not_fallen) / 2}

    learner = Learner(detector)
    trained = fit(
        learner,
        loss,
        batches,
        config.train,
        folder,
        evaluate=evaluate,
        layers={f"detector.{name}": depth for name, depth in depths(detector).items()},
        new=tuple(f"detector.{name}" for name in new_parameters(detector)),
        watch="ap50" if every == 1 else "loss",
        better="higher" if every == 1 else "lower",
        resume=resume,
        describe=f"Training {config.name}",
        identity=_identity(config),
    )
    detector = learner.detector.to("cpu").to(memory_format=torch.contiguous_format).eval()  # pyright: ignore
    _remember(detector, begun, config.keep_start)
    return detector, trained


@torch.no_grad()
def _remember(detector: nn.Module, begun: Mapping[str, Tensor], share: float) -> None:
    """Draw parameters back towards what they were, by ``share`` of the way."""
    for name, parameter in detector.named_parameters():
        if share and name in begun:
            parameter.lerp_(begun[name], share)


def card_of(config: FalldetConfig, sets: Sets, trained: Trained | None = None) -> ModelCard:
    """The card of a detector trained under ``config``, its threshold not chosen yet."""
    settings: dict[str, str | int | float] = {"seed": config.train.seed, "epochs": config.train.epochs}
    if trained is not None:
        versions = packages()
        settings |= {"train_cpu_s": round(trained.cpu_s, 1)}
        settings |= {name: versions[name] for name in _NAMED if name in versions}
    return ModelCard(
        name=config.name,
        classes=sets.develop.classes,
        model=options_of(config.model),
        pixels=config.pixels,
        trained_on=tuple(f"{pool.labelled.name}: {len(pool.labelled)} pictures" for pool in sets.pools),
        licence=config.licence,
        settings=settings,
    )


def _batches(config: FalldetConfig, sets: Sets) -> TrainBatches:
    options, pools = config.batches, sets.pools
    whole = len(pools[0].labelled) * sum(pool.share for pool in pools) / pools[0].share
    return TrainBatches(
        pools,
        config.pixels,
        options.augment,
        batch_size=options.batch_size,
        pictures=options.pictures or round(whole),
        scale_px=options.scale_px,
        fallen_weight=options.fallen_weight,
        seed=config.train.seed,
    )


def _identity(config: FalldetConfig) -> str:
    """What a checkpoint belongs to: everything that the training depends on."""
    parts = config.model_dump_json(include={"data", "pixels", "model", "batches", "train"})
    return hashlib.sha256(parts.encode()).hexdigest()


def _train_mmdet(config: FalldetConfig, sets: Sets, run: Run) -> None:
    from falldet.mmdet.engine import train_mmdet

    pool, *others = sets.pools
    if others:
        raise BadInput("mmdet learns from one set here", "data.train", "join them with `falldet convert`")
    model = train_mmdet(config.mmdet, pool.labelled, sets.develop, run.folder / "model")
    choice = choose(model, sets.develop, config.evaluation.threshold)
    _judge(run, model, config, sets, choice)


def _judge(run: Run, model: Detecting, config: FalldetConfig, sets: Sets, choice: Choice) -> None:
    """Figures on the test sets, or, said so, on the pictures that the threshold was chosen on."""
    operating = Operating(choice.threshold, choice.floor, f"chosen on {sets.develop.name}")
    judge(
        run,
        model,
        list(sets.tests) or [sets.develop],
        config.name,
        operating,
        resamples=config.evaluation.bootstrap,
        told=told_of(choice),
        notes=notes_on(choice, not sets.tests),
    )
