"""mmdet's own Runner trains one of its configs on our pictures, and the model looks at pictures like ours."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.mmdet.options import MmdetOptions
from suite.errors import BackendUnavailable, BadInput

for package in ("mmdet", "mmcv", "mmengine", "pycocotools"):
    pytest.importorskip(package)

TINY: dict[str, Any] = {
    "model.backbone.depth": 18,
    "model.neck.in_channels": [64, 128, 256, 512],
    "model.neck.out_channels": 16,
    "model.rpn_head.in_channels": 16,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.test_cfg.rcnn.score_thr": 0.0,
    "model.test_cfg.rpn.max_per_img": 20,
    "model.train_cfg.rpn_proposal.max_per_img": 50,
} | {
    f"model.roi_head.bbox_head.{k}.{key}": value
    for k in range(3)
    for key, value in (("in_channels", 16), ("fc_out_channels", 32))
}
OPTIONS = MmdetOptions(
    settings=TINY, fetch=False, epochs=1, lr=0.001, long_px=96, short_px=96, batch=2, threshold=0.3
)


def _people(folder: Path) -> LabelledSet:
    """Four pictures with a lying and a standing block."""
    rng = np.random.default_rng(0)
    images = []
    for k in range(4):
        picture = rng.integers(0, 60, (80, 100, 3), dtype=np.uint8)
        boxes = np.array([[5 + k, 50, 45 + k, 70], [60, 10 + k, 80, 65 + k]], np.float32)
        for (x1, y1, x2, y2), colour in zip(boxes.astype(int), ((250, 30, 30), (30, 30, 250)), strict=True):
            picture[y1:y2, x1:x2] = colour
        path = folder / f"{k}.png"
        cv2.imwrite(str(path), picture)
        images.append(LabelledImage(path, 100, 80, boxes, np.array([0, 1]), ((), ())))
    return LabelledSet("blocks", tuple(images))


def _rgb(path: Path) -> np.ndarray:
    bgr = cv2.imread(str(path))
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from falldet.mmdet.engine import train_mmdet

    folder = tmp_path_factory.mktemp("mmdet")
    data = _people(folder)
    return folder / "model", train_mmdet(OPTIONS, data, data, folder / "model"), data


def test_a_runner_trains_two_steps_and_the_model_is_read_back(trained: Any) -> None:
    from falldet.mmdet.engine import load_mmdet
    from falldet.model.weights.read import read_weights

    folder, model, data = trained
    assert sorted(path.name for path in folder.iterdir()) == [
        "develop.json",
        "log",
        "mmdet.json",
        "train.json",
        "weights.safetensors",
    ]
    assert json.loads((folder / "mmdet.json").read_text())["model"]["backbone"]["depth"] == 18
    logged = [json.loads(line) for path in (folder / "log").rglob("scalars.json") for line in path.open()]
    assert any("coco/bbox_mAP" in entry for entry in logged)
    weights = read_weights(folder / "weights.safetensors")
    assert weights.tensors["roi_head.bbox_head.2.fc_cls.weight"].shape == (3, 32)
    assert model.card.threshold == 0.3

    pictures = [_rgb(image.path) for image in data.images[:2]]
    pictures.append(pictures[0][:50])
    found = model.detect(pictures)
    again = load_mmdet(folder).detect(pictures)
    assert [len(people) > 0 for people in found] == [True] * 3
    for people, same, picture in zip(found, again, pictures, strict=True):
        np.testing.assert_array_equal(people.boxes_px, same.boxes_px)
        assert (np.diff(people.scores) <= 0).all() and set(people.labels) <= {0, 1}
        assert (
            people.boxes_px[:, 2].max() <= picture.shape[1]
            and people.boxes_px[:, 3].max() <= picture.shape[0]
        )
        assert people.classes == ("fallen", "not_fallen")


def test_training_starts_from_the_weights_given_with_their_classes_cut(trained: Any, tmp_path: Path) -> None:
    from mmengine.logging import HistoryBuffer

    from falldet.mmdet.engine import train_mmdet
    from falldet.model.weights.read import read_weights

    folder, _, data = trained
    before = dict(read_weights(folder / "weights.safetensors").tensors)
    for k in range(3):
        head = f"roi_head.bbox_head.{k}.fc_cls"
        before[f"{head}.weight"] = torch.zeros(81, 32)
        before[f"{head}.bias"] = torch.arange(81.0)
    hub = {"log_scalars": OrderedDict(loss=HistoryBuffer())}
    torch.save({"state_dict": before, "message_hub": hub, "meta": {"epoch": 12}}, tmp_path / "coco.pth")
    options = OPTIONS.model_copy(update={"weights": tmp_path / "coco.pth", "lr": 1e-9})
    train_mmdet(options, data, None, tmp_path / "model")
    after = read_weights(tmp_path / "model" / "weights.safetensors").tensors
    for name, tensor in after.items():
        if name.endswith("fc_cls.bias"):
            wanted = torch.tensor([-0.6931, -0.6931, 80.0])
            torch.testing.assert_close(tensor, wanted, atol=1e-3, rtol=0)
        elif tensor.is_floating_point() and "fc_cls" not in name:
            torch.testing.assert_close(tensor, before[name], atol=1e-4, rtol=1e-4)


def test_a_model_that_calls_its_classes_otherwise_is_mapped_or_refused(trained: Any, tmp_path: Path) -> None:
    from falldet.mmdet.engine import load_mmdet, open_mmdet
    from falldet.model.weights.read import read_weights

    folder, model, data = trained
    tensors = dict(read_weights(folder / "weights.safetensors").tensors)
    path = tmp_path / "theirs.pth"
    torch.save({"state_dict": tensors, "meta": {"dataset_meta": {"classes": ("upright", "fall")}}}, path)
    options = MmdetOptions(config=str(folder / "mmdet.json"), weights=path)
    with pytest.raises(
        BadInput, match=r"tells 2 classes apart \(upright, fall\), but not fallen and not_fallen"
    ):
        open_mmdet(options)
    mapped = open_mmdet(options, called={"upright": "not_fallen", "fall": "fallen"})
    picture = _rgb(data.images[0].path)
    ours, theirs = model.detect([picture])[0], mapped.detect([picture])[0]
    np.testing.assert_array_equal(ours.labels, 1 - theirs.labels)

    coco = MmdetOptions(weights=path)
    torch.save({"state_dict": tensors}, path)
    with pytest.raises(
        BadInput, match=r"tells 80 classes apart \(person, bicycle, car, ...\), but not fallen"
    ):
        open_mmdet(coco)
    torch.save({"state_dict": tensors, "meta": {"dataset_meta": {"classes": ("fallen", "not_fallen")}}}, path)
    with pytest.raises(BadInput, match=r"theirs\.pth: weights and config do not fit: backbone"):
        open_mmdet(coco)
    with pytest.raises(BadInput, match="not an mmdet model of falldet"):
        load_mmdet(tmp_path)


def test_a_config_of_ones_own_runs_only_where_that_is_allowed(tmp_path: Path) -> None:
    from falldet.mmdet.bridge import install
    from falldet.mmdet.config import read_config

    install()
    trap = tmp_path / "trap"
    path = tmp_path / "mine.py"
    path.write_text(f"open({str(trap)!r}, 'w').close()\nmodel = dict()\ntest_dataloader = dict()\n")
    with pytest.raises(BadInput, match=r"a Python file, which is run to be read; set allow_code: true"):
        read_config(MmdetOptions(config=str(path)))
    assert not trap.exists()
    read_config(MmdetOptions(config=str(path), allow_code=True))
    with pytest.raises(BadInput, match=r"did you mean 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'"):
        read_config(MmdetOptions(config="cascade_rcnn/cascade-rcnn_r50_fpn_1x.py"))
    path.with_suffix(".json").write_text('{"a": 1}')
    with pytest.raises(BadInput, match="no model, test_dataloader"):
        read_config(MmdetOptions(config=str(path.with_suffix(".json"))))


@pytest.mark.parametrize(
    "name",
    [
        "dcn/cascade-mask-rcnn_x101-32x4d-dconv-c3-c5_fpn_1x_coco.py",
        "cascade_rcnn/cascade-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco.py",  # repeats and pastes
        "htc/htc_r50_fpn_1x_coco.py",
        "retinanet/retinanet_r50_fpn_1x_coco.py",
        "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
        "yolox/yolox_s_8xb8-300e_coco.py",
    ],
)
def test_any_config_is_changed_to_two_classes_boxes_alone_and_a_shorter_schedule(
    tmp_path: Path, name: str
) -> None:
    from falldet.data.formats.coco import write_coco
    from falldet.mmdet.bridge import install
    from falldet.mmdet.config import for_our_data, read_config, without_fetching

    install()
    from mmdet.registry import DATASETS, MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    options = MmdetOptions(config=name, epochs=3, long_px=128, short_px=96)
    config = read_config(options)
    write_coco(_people(tmp_path), tmp_path / "train.json")
    for_our_data(config, options, ("fallen", "not_fallen"), tmp_path / "train.json", None, tmp_path / "log")
    without_fetching(config)
    with torch.device("meta"):
        state = MODELS.build(config.model).state_dict()
    assert not any("mask_head" in key or "semantic" in key for key in state)
    classifiers = [value for key, value in state.items() if key.endswith("fc_cls.weight")]
    assert all(len(weight) == 3 for weight in classifiers)
    assert "num_classes=2" in config.pretty_text and "num_classes=80" not in config.pretty_text
    plans = config.param_scheduler
    assert all(plan["end"] <= 3 for plan in plans if plan.get("by_epoch", True) and "end" in plan)
    assert all(plan["end"] <= 1 for plan in plans if not plan.get("by_epoch", True))
    dataset = DATASETS.build(config.train_dataloader.dataset)
    sample = dataset[0]
    assert set(sample["data_samples"].gt_instances.labels.tolist()) <= {0, 1}
    assert max(sample["inputs"].shape) <= 128 or "yolox" in name or "rtmdet" in name  # which mix and pad


def test_a_folder_with_a_model_and_a_set_without_pictures_are_refused(trained: Any, tmp_path: Path) -> None:
    from falldet.mmdet.engine import train_mmdet

    folder, _, data = trained
    with pytest.raises(BadInput, match="holds a model already"):
        train_mmdet(OPTIONS, data, None, folder)
    with pytest.raises(BadInput, match="nobody: no pictures to train on"):
        train_mmdet(OPTIONS, LabelledSet("nobody", ()), None, tmp_path)


def test_without_mmdet_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    from falldet.mmdet.engine import open_mmdet

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mmdet" else found(name))
    with pytest.raises(
        BackendUnavailable, match="mmdet is not available: the package mmdet is not installed"
    ):
        open_mmdet(MmdetOptions(weights=tmp_path / "x.pth"))
