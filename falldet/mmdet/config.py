"""An mmdet config made to train on our data: found, read, and changed where our data and settings differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falldet.mmdet.options import MmdetOptions
from suite.errors import BadInput, did_you_mean

_SHOWN = 200
_WARM_UP_SHARE = 10
"""At most a tenth of all steps; the configs have 500 and more, of the 7,000 of an epoch of COCO."""


def read_config(options: MmdetOptions) -> Any:
    """The mmengine Config that ``options`` name, with their settings merged.

    Raises BadInput where there is none of that name, where it is a Python file of one's own and `allow_code`
    is not set, and where it can not be read.
    """
    from mmengine.config import Config

    path, own = _find(options.config)
    if path.suffix == ".py" and not own and not options.allow_code:
        hint = "set allow_code: true if you trust it, or give the config that a run has written as JSON"
        raise BadInput("an mmdet config is a Python file, which is run to be read", where=path, hint=hint)
    try:
        config = Config.fromfile(path, import_custom_modules=options.allow_code)
        if options.settings:
            config.merge_from_dict(dict(options.settings))
    except Exception as error:  # a config is a program, and fails like one
        raise BadInput(f"not readable as an mmdet config ({type(error).__name__}: {error})", path) from error
    lacking = [key for key in ("model", "test_dataloader") if key not in config]
    if lacking:
        raise BadInput(f"not an mmdet 3 config of a detector (no {', '.join(lacking)})", where=path)
    return config


def _find(name: str) -> tuple[Path, bool]:
    """The file, and whether it came with mmdet."""
    import mmdet

    shipped = Path(mmdet.__file__).parent / ".mim" / "configs"
    if Path(name).is_file():
        path = Path(name).resolve()
        return path, path.is_relative_to(shipped.resolve())
    if (shipped / name).is_file() and (shipped / name).resolve().is_relative_to(shipped.resolve()):
        return shipped / name, True
    names = [path.relative_to(shipped).as_posix() for path in shipped.glob("*/*.py")]
    close = did_you_mean(name, names)
    hint = (
        f"did you mean {close!r}?"
        if close
        else "names are such as cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py"
    )
    raise BadInput("no such mmdet config", where=name[:_SHOWN], hint=hint)


def for_our_data(
    config: Any, options: MmdetOptions, classes: Sequence[str], train: Path, develop: Path | None, work: Path
) -> None:
    """Change ``config`` in place: classes, COCO files, size and schedule; the Runner writes into ``work``."""
    _boxes_only(config)
    for head in _dicts(config.model):
        if "num_classes" in head:
            head["num_classes"] = len(classes)
    set_size(config, options)
    data = config.train_dataloader
    data.update(batch_size=options.batch, num_workers=0, persistent_workers=False)
    inner = _innermost(data.dataset)
    inner.update(
        type="CocoDataset",
        data_root="",
        ann_file=str(train),
        data_prefix={"img": f"{train.parent}/"},
        metainfo={"classes": tuple(classes)},
        filter_cfg={"filter_empty_gt": False, "min_size": 1},
    )
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    tested = _innermost(config.test_dataloader.dataset)
    tested.update(inner.copy() | {"pipeline": tested.pipeline, "test_mode": True, "filter_cfg": None})
    config.test_evaluator = {"type": "CocoMetric", "ann_file": str(train), "metric": "bbox"}
    if develop is None:
        config.val_dataloader = config.val_cfg = config.val_evaluator = None
    else:
        place = {"ann_file": str(develop), "data_prefix": {"img": f"{develop.parent}/"}}
        config.val_dataloader = config.test_dataloader.copy()
        config.val_dataloader.dataset = tested.copy() | place
        config.val_evaluator = config.test_evaluator | {"ann_file": str(develop)}
    _schedule(config, options, len(json.loads(train.read_text(encoding="utf-8"))["images"]))
    config.work_dir = str(work)
    config.randomness = {"seed": options.seed}
    config.resume, config.log_level, config.launcher = False, "WARNING", "none"
    kept = {"interval": 1, "max_keep_ckpts": 1, "save_optimizer": False}
    config.default_hooks.checkpoint = {"type": "CheckpointHook", **kept}
    config.default_hooks.logger = {"type": "LoggerHook", "interval": 10}


def without_fetching(config: Any) -> None:
    """No part of the model asks for weights of its own."""
    for part in _dicts(config.model):
        if "init_cfg" in part and "Pretrained" in str(part["init_cfg"]):
            part["init_cfg"] = None


def set_size(config: Any, options: MmdetOptions) -> None:
    """Every resizing of pictures becomes one that keeps proportions within the sizes given."""
    if options.long_px is None:
        return
    scale = (options.long_px, options.short_px or options.long_px)
    for loader in (config.train_dataloader, config.test_dataloader):
        for dataset in _dicts(loader.dataset):
            steps = dataset.get("pipeline") or []
            for place, step in enumerate(steps):
                if str(step["type"]).endswith("Resize"):
                    steps[place] = {"type": "Resize", "scale": scale, "keep_ratio": True}


def _boxes_only(config: Any) -> None:
    """Leave out what learns from masks or whole scenes: our pictures have boxes."""
    heads = config.model.get("roi_head") or {}
    for name in ("mask_head", "mask_roi_extractor", "semantic_head", "semantic_roi_extractor"):
        if name in heads:
            heads[name] = None
    for dataset in _dicts(config.train_dataloader.dataset):
        for step in dataset.get("pipeline") or []:
            if step["type"] == "LoadAnnotations":
                step.update(with_mask=False, with_seg=False)


def _schedule(config: Any, options: MmdetOptions, pictures: int) -> None:
    """Stretch the config's schedule to the epochs asked for, and shorten its warm-up where they are few."""
    if options.lr is not None:
        config.optim_wrapper.optimizer.lr = options.lr
    before = config.train_cfg.get("max_epochs")
    if before is None:
        hint = "choose one whose train_cfg is an EpochBasedTrainLoop"
        raise BadInput("a config that counts steps, not epochs", where=options.config, hint=hint)
    epochs = options.epochs or before
    config.train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": 1}
    most = max(1, epochs * math.ceil(pictures / options.batch) // _WARM_UP_SHARE)
    plans = config.get("param_scheduler") or []
    for step in plans:
        if not step.get("by_epoch", True):
            if step["type"] == "LinearLR":
                step["end"] = min(step.get("end", most), most)
            continue
        for key in ("begin", "end", "T_max", "step_size"):
            if key in step:
                step[key] = round(step[key] * epochs / before)
        if "milestones" in step:
            step["milestones"] = [max(1, round(at * epochs / before)) for at in step["milestones"]]
    config.param_scheduler = [step for step in plans if step.get("begin", 0) < step.get("end", math.inf)]


def _innermost(dataset: Any) -> Any:
    """The data itself below what repeats or mixes it."""
    while "dataset" in dataset or "datasets" in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    return dataset


def _dicts(value: Any) -> Iterator[Any]:
    """Every mapping in a config, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in list(value.values()):
            yield from _dicts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _dicts(inner)
