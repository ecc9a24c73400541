"""mmdet as the engine: any of its configs trained on our data, and looking at pictures as our models do."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import nn

from falldet.data.formats.coco import write_coco
from falldet.data.labelled import LabelledSet
from falldet.detections import CLASSES, Detections
from falldet.mmdet.bridge import install
from falldet.mmdet.config import for_our_data, read_config, without_fetching
from falldet.mmdet.options import MmdetOptions
from falldet.model.weights.classes import class_rows, cut_classes
from falldet.model.weights.origin import class_names
from falldet.model.weights.read import WeightsFile, read_weights
from suite.errors import BackendUnavailable, BadInput
from suite.files import atomic_write
from suite.progress import track

CONFIG, WEIGHTS = "mmdet.json", "weights.safetensors"
"""A trained model is a folder of these two: the config as data, and the weights with their classes."""
LOG = "log"
_CLASSES, _THRESHOLD = "falldet.classes", "falldet.threshold"


@dataclass(frozen=True)
class MmdetCard:
    """What a trained model says of itself."""

    classes: tuple[str, ...]
    threshold: float | int


class MmdetModel:
    """A detector of mmdet that looks at pictures as falldet's own models do."""

    def __init__(self, net: nn.Module, pipeline: Any, card: MmdetCard, labels: Sequence[int]) -> None:
        """``labels`` are our classes for each of the net's; -1 for those that are not told."""
        self.net = net.eval()
        self.card = card
        self._pipeline = pipeline
        self._labels = np.asarray(labels, np.int64)

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        """People in each of ``pictures``, (h, w, 3) uint8 RGB of any sizes, the most certain first.

        Raises BackendUnavailable where the model needs an operator that is not there.
        """
        from mmdet.apis import inference_detector

        bgr = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
        try:
            results: Any = inference_detector(self.net, bgr, test_pipeline=self._pipeline)
        except NotImplementedError as error:
            raise BackendUnavailable("mmdet", str(error)) from error
        return [self._found(result.pred_instances) for result in results]

    def _found(self, instances: Any) -> Detections:
        labels = self._labels[instances.labels.cpu().numpy()]
        scores = instances.scores.cpu().numpy().astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        order = order[labels[order] >= 0]
        boxes = instances.bboxes.cpu().numpy().astype(np.float32)
        return Detections(boxes[order], scores[order], labels[order], self.card.classes)


def train_mmdet(
    options: MmdetOptions, train: LabelledSet, develop: LabelledSet | None, folder: Path
) -> MmdetModel:
    """Train the config that ``options`` name with mmengine's Runner, and write the model to ``folder``.

    Beside the model the folder holds the COCO files and what the Runner logged; where training is
    interrupted, also the weights after the last epoch, which :func:`open_mmdet` reads. Raises BadInput for a
    config or weights that do not fit, and BackendUnavailable where mmdet is not there or lacks an operator.
    """
    if not len(train):
        raise BadInput("no pictures to train on", where=train.name)
    if (folder / WEIGHTS).exists() or (folder / CONFIG).exists():
        raise BadInput("holds a model already", where=folder, hint="choose another folder or remove it")
    _ready()
    config = read_config(options)
    start = None if options.weights is None else _starting_weights(options.weights, train.classes)
    folder = folder.absolute()
    files: dict[str, Path | None] = {"train": None, "develop": None}
    for name, labelled in (("train", train), ("develop", develop)):
        if labelled is not None:
            files[name] = folder / f"{name}.json"
            write_coco(labelled, folder / f"{name}.json", [str(i.path.absolute()) for i in labelled.images])
    for_our_data(config, options, train.classes, folder / "train.json", files["develop"], folder / LOG)
    _write_config(folder / CONFIG, config)
    if start is not None:
        config.load_from = str(folder / "start.pth")
        torch.save(start, config.load_from)
    if start is not None or not options.fetch:
        without_fetching(config)
    try:
        net = _run(config, options)
    finally:
        (folder / "start.pth").unlink(missing_ok=True)
    _write_weights(folder / WEIGHTS, net, train.classes, options.threshold)
    for spare in [*(folder / LOG).glob("*.pth"), folder / LOG / "last_checkpoint"]:
        spare.unlink(missing_ok=True)
    return load_mmdet(folder, train.classes)


def load_mmdet(
    folder: Path,
    classes: Sequence[str] = CLASSES,
    device: str = "cpu",
    called: Mapping[str, str] | None = None,
) -> MmdetModel:
    """The model in a folder that :func:`train_mmdet` wrote; nothing in it is run."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BadInput(f"not an mmdet model of falldet ({CONFIG}, {WEIGHTS})", where=folder)
    options = MmdetOptions(config=str(folder / CONFIG), weights=folder / WEIGHTS)
    return open_mmdet(options, classes, device, called)


def open_mmdet(
    options: MmdetOptions,
    classes: Sequence[str] = CLASSES,
    device: str = "cpu",
    called: Mapping[str, str] | None = None,
) -> MmdetModel:
    """The model of a config with the weights of a checkpoint, mmdet's own or anybody's.

    ``called`` says which of its classes are ours where it calls them otherwise ({"fall": "fallen"}). Raises
    BadInput where it does not tell our classes apart (as COCO's do not), and where weights and config do not
    fit.
    """
    if options.weights is None:
        raise BadInput("no weights to look with", where=options.config)
    _ready()
    from mmdet.registry import MODELS
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose

    file = read_weights(options.weights)
    config = read_config(options)
    without_fetching(config)
    names = _names(file, config)
    labels = _labels(names, classes, called or {}, options.weights)
    with _quiet():
        net = MODELS.build(config.model)
        _fill(net, file)
        net.cfg = config
        pipeline = get_test_pipeline_cfg(config)
        pipeline[0] = {"type": "mmdet.LoadImageFromNDArray"}
        steps = Compose([_tupled(step) for step in pipeline if step["type"] != "LoadAnnotations"])
    threshold = float(file.meta.get(_THRESHOLD, options.threshold))
    return MmdetModel(net.to(device), steps, MmdetCard(tuple(classes), threshold), labels)


def _tupled(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step of a pipeline with its sizes as mmcv wants them; JSON knows lists only."""
    sizes = {k: tuple(v) for k, v in step.items() if k.endswith(("scale", "size")) and isinstance(v, list)}
    return {**step, **sizes}


def _ready() -> None:
    install()
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


def _run(config: Any, options: MmdetOptions) -> nn.Module:
    from mmengine.runner import Runner

    config.experiment_name = uuid.uuid4().hex  # mmengine keeps what a process has made by its name
    if config.get("visualizer"):
        config.visualizer["name"] = config.experiment_name
    try:
        with _quiet():
            runner = Runner.from_cfg(config)
            runner.register_hook(_progress(f"training {options.config} with mmdet"), priority="LOWEST")
            runner.train()
    except NotImplementedError as error:
        raise BackendUnavailable("mmdet", str(error)) from error
    except URLError as error:
        hint = "set fetch: false, or give weights"
        raise BackendUnavailable("the backbone's weights", str(error.reason), hint) from error
    if not all(bool(torch.isfinite(value).all()) for value in runner.model.state_dict().values()):
        raise BadInput("training ended with weights that are not numbers", options.config, "try a smaller lr")
    return runner.model


def _progress(what: str) -> Any:
    """A hook of mmengine's that moves our bar on by a step."""
    from mmengine.hooks import Hook

    class Progress(Hook):
        steps: Iterator[int] = iter(())

        def before_train(self, runner: Any) -> None:
            self.steps = iter(track(range(runner.max_iters), what))
            next(self.steps, None)

        def after_train_iter(self, *_given: Any, **_named: Any) -> None:
            next(self.steps, None)

    return Progress()


def _starting_weights(path: Path, classes: Sequence[str]) -> dict[str, Any]:
    """A checkpoint that mmengine reads, with a cascade's classes cut to ours."""
    file = read_weights(path)
    tensors = dict(file.tensors)
    first = tensors.get("roi_head.bbox_head.0.fc_cls.weight")
    if first is not None and len(first) != len(classes) + 1:
        tensors = cut_classes(tensors, class_rows(len(first) - 1, class_names(file.meta), classes))
    return {"state_dict": tensors, "meta": {}}


def _write_config(path: Path, config: Any) -> None:
    """What is needed to look at pictures, as data; parts ask for no weights of their own."""
    from mmdet.utils import get_test_pipeline_cfg

    copy = config.copy()
    without_fetching(copy)
    kept = {
        "default_scope": copy.get("default_scope", "mmdet"),
        "model": copy.model,
        "test_dataloader": {"dataset": {"pipeline": get_test_pipeline_cfg(copy)}},
    }
    with atomic_write(path, "w") as stream:
        json.dump(kept, stream, indent=1, default=list)


def _write_weights(path: Path, net: nn.Module, classes: Sequence[str], threshold: float | int) -> None:
    from safetensors.torch import save

    about = {_CLASSES: json.dumps(list(classes)), _THRESHOLD: str(threshold)}
    state = {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}
    with atomic_write(path) as stream:
        stream.write(save(state, about))


def _fill(net: nn.Module, file: WeightsFile) -> None:
    wanted = net.state_dict()
    counters = ".num_batches_tracked"
    problems = [
        f"{name} is missing" for name in wanted if name not in file.tensors and not name.endswith(counters)
    ]
    problems += [f"{name} is not of this model" for name in file.tensors if name not in wanted]
    problems += [
        f"{name} is {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
        for name, tensor in file.tensors.items()
        if name in wanted and wanted[name].shape != tensor.shape
    ]
    if problems:
        what = (
            f"weights and config do not fit: {'; '.join(problems[:3])}{'; ...' if len(problems) > 3 else ''}"
        )
        raise BadInput(what, where=file.path)
    net.load_state_dict(dict(file.tensors), strict=False)


def _names(file: WeightsFile, config: Any) -> tuple[str, ...]:
    """What the model calls its classes: as the weights say, or the config's data."""
    said = class_names(file.meta)
    if said is not None:
        return said
    from mmdet.registry import DATASETS

    data = config.test_dataloader.dataset
    given = (data.get("metainfo") or {}).get("classes")
    kind = DATASETS.get(data["type"]) if "type" in data else None
    return tuple(given or (kind.METAINFO.get("classes", ()) if kind is not None else ()))


def _labels(
    names: Sequence[str], classes: Sequence[str], called: Mapping[str, str], where: Path
) -> tuple[int, ...]:
    """Our class for each of the model's, -1 where it is none."""
    ours = [called.get(name, name) for name in names]
    lacking = [name for name in classes if name not in ours]
    if lacking:
        first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        hint = "train it first (engine: mmdet, with these as its weights), or say what it calls them"
        what = f"tells {len(names)} classes apart ({first}), but not {' and '.join(lacking)}"
        raise BadInput(what, where=where, hint=hint)
    return tuple(list(classes).index(name) if name in classes else -1 for name in ours)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """mmengine, mmdet and pycocotools print, warn and log of much that is as it should be."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
