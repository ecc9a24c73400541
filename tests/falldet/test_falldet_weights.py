"""Weights of mmdet, detectron2 and torchvision become ours, every name of them, and foreign ones are refused.

Tensors of large models are written as one number seen many times: names and shapes are real, files are small.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from falldet.model.build import build_detector
from falldet.model.options import (
    BoxHeadOptions,
    CascadeHeadOptions,
    CascadeOptions,
    FpnOptions,
    ResNetOptions,
)
from falldet.model.weights.architecture import PRESETS
from falldet.model.weights.convert import import_file, import_weights, start_from
from falldet.model.weights.names import renamed
from suite.errors import BadInput

SMALL = CascadeOptions(
    backbone=ResNetOptions(depth=18),
    neck=FpnOptions(channels=32),
    head=CascadeHeadOptions(box=BoxHeadOptions(fc_channels=16)),
)


def _light(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Tensors of these shapes that take no room."""
    return {name: torch.tensor(0.01).expand(shape) for name, shape in shapes.items()}


def _shapes(options: CascadeOptions, classes: int = 80) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = build_detector(options, classes).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _random(options: CascadeOptions, classes: int = 80) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(s, generator=generator) for name, s in _shapes(options, classes).items()}


@pytest.fixture(scope="module")
def mmdet_model() -> Any:
    """Makes mmdet's own model of one of its configs, without memory; and the text of that config."""
    for package in ("mmdet", "mmcv", "mmengine"):
        pytest.importorskip(package)
    from falldet.mmdet.bridge import install

    install()
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules(init_default_scope=True)

    def make(name: str) -> tuple[dict[str, tuple[int, ...]], str]:
        config: Any = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / name)
        config.model.backbone.init_cfg = None
        with torch.device("meta"):
            state = MODELS.build(config.model).state_dict()
        return {key: tuple(tensor.shape) for key, tensor in state.items()}, config.pretty_text

    return make


@pytest.mark.parametrize(
    ("config", "arch", "masks"),
    [
        ("cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", "cascade_r50", 0),
        ("cascade_rcnn/cascade-rcnn_r101_fpn_1x_coco.py", "cascade_r101", 0),
        ("cascade_rcnn/cascade-rcnn_x101-32x4d_fpn_1x_coco.py", "cascade_x101_32x4d", 0),
        ("cascade_rcnn/cascade-rcnn_x101-64x4d_fpn_1x_coco.py", "cascade_x101_64x4d", 0),
        ("dcn/cascade-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py", "cascade_r50_dcn", 0),
        ("dcn/cascade-mask-rcnn_x101-32x4d-dconv-c3-c5_fpn_1x_coco.py", "cascade_x101_32x4d_dcn", 36),
    ],
)
def test_checkpoints_of_mmdets_own_models_are_recognised_and_fit_strictly(
    mmdet_model: Any, tmp_path: Path, config: str, arch: str, masks: int
) -> None:
    from mmengine.logging import HistoryBuffer

    shapes, text = mmdet_model(config)
    losses = HistoryBuffer()
    losses.update(1.5)
    meta = {"epoch": 12, "cfg": text, "dataset_meta": {"classes": ("person",) + ("thing",) * 79}}
    hub = {"log_scalars": OrderedDict(loss=losses), "runtime_info": {"iter": np.int64(7)}}
    path = tmp_path / "epoch_12.pth"
    torch.save({"meta": meta, "state_dict": OrderedDict(_light(shapes)), "message_hub": hub}, path)
    assert path.stat().st_size < 3e6

    state, report = import_weights(path)
    assert report.options == PRESETS[arch]
    assert report.rows == (0, 0) and report.file_classes == 80 and report.fresh == ()
    assert sum(report.dropped.values()) == masks
    assert report.pixels.order == "rgb" and report.pixels.mean == (123.675, 116.28, 103.53)
    kept = {name: shape for name, shape in shapes.items() if ".mask_head." not in name}
    assert _shapes(report.options) == kept  # our names, with all 80 classes, are mmdet's
    with torch.device("meta"):
        detector = build_detector(report.options, 2)
    detector.load_state_dict(state, strict=True, assign=True)


def test_a_caffe_backbone_is_told_by_the_config_in_the_checkpoint(mmdet_model: Any, tmp_path: Path) -> None:
    shapes, text = mmdet_model("cascade_rcnn/cascade-rcnn_r50-caffe_fpn_1x_coco.py")
    torch.save({"meta": {"cfg": text}, "state_dict": _light(shapes)}, tmp_path / "caffe.pth")
    report = import_weights(tmp_path / "caffe.pth")[1]
    assert report.options == CascadeOptions(backbone=ResNetOptions(style="caffe"))
    assert report.pixels.order == "bgr" and report.pixels.std == (1.0, 1.0, 1.0)


def test_both_classes_start_as_person_and_together_are_as_likely(tmp_path: Path) -> None:
    source = _random(SMALL)
    torch.save(source, tmp_path / "plain.pth")
    detector = build_detector(SMALL, 2)
    report = start_from(detector, tmp_path / "plain.pth", SMALL)
    made = detector.state_dict()
    changed = {name for name in source if not torch.equal(source[name], made[name])}
    assert {name for name in changed if "num_batches" not in name} == {
        f"roi_head.bbox_head.{k}.fc_cls.{kind}" for k in range(3) for kind in ("weight", "bias")
    }
    assert report.rows == (0, 0)
    features = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    for k in range(3):
        head = f"roi_head.bbox_head.{k}.fc_cls"
        theirs = features @ source[f"{head}.weight"].T + source[f"{head}.bias"]
        ours = features @ made[f"{head}.weight"].T + made[f"{head}.bias"]
        person = theirs[:, [0, 80]].softmax(1)[:, 0]
        torch.testing.assert_close(ours.softmax(1)[:, :2].sum(1), person)
        torch.testing.assert_close(ours[:, 0], ours[:, 1])


def test_classes_are_taken_by_name_by_order_or_by_the_rows_given(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    names = {"dataset_meta": {"classes": ("not_fallen", "dog", "fallen")}}
    torch.save({"meta": names, "state_dict": _light(_shapes(SMALL, 3))}, path)
    assert import_weights(path)[1].rows == (2, 0)
    assert import_weights(path, rows=(1, 1))[1].rows == (1, 1)
    with pytest.raises(BadInput, match=r"rows 3, 4 are not all among its classes 0 to 2"):
        import_weights(path, rows=(3, 4))
    with pytest.raises(BadInput, match=r"1 rows for the 2 classes"):
        import_weights(path, rows=(1,))
    torch.save(_light(_shapes(SMALL, 2)), path)
    assert import_weights(path)[1].rows == (0, 1)
    torch.save(_light(_shapes(SMALL, 1203)), path)
    with pytest.raises(BadInput, match=r"weights\.pth: tells 1203 classes apart.*--rows"):
        import_weights(path)


def test_what_was_written_is_read_again_whatever_shapes_do_not_tell(tmp_path: Path) -> None:
    caffe = SMALL.model_copy(update={"backbone": ResNetOptions(depth=18, style="caffe")})
    torch.save(_random(caffe), tmp_path / "a.pth")
    state, report = import_weights(tmp_path / "a.pth", caffe)
    out = tmp_path / "deep" / "out.safetensors"
    import_file(tmp_path / "a.pth", out)
    again = import_weights(out)[1]
    assert again.options == SMALL and again.rows == (0, 1)
    from falldet.model.weights.convert import write_weights

    write_weights(out, state, report)
    same, again = import_weights(out)
    assert again.options == caffe and again.pixels == report.pixels
    assert all(torch.equal(same[name], state[name]) for name in state) and same.keys() == state.keys()
    with pytest.raises(BadInput, match="no architecture is called 'cascade_r5'; did you mean 'cascade_r50'"):
        import_file(out, out, "cascade_r5")


def _detectron2(options: CascadeOptions, classes: int = 80) -> Iterator[tuple[str, str]]:
    """Our name and detectron2's of each weight; there a norm is part of a convolution."""
    for ours in _shapes(options, classes):
        if ours.endswith(".num_batches_tracked"):
            continue
        *path, last = ours.split(".")
        norm = ""
        if path[0] == "backbone":
            if path[-1][:2] in ("bn", "gn"):
                path[-1], norm = f"conv{path[-1][2:]}", "norm."
            if "downsample" in path:
                norm, path = "norm." if path[-1] == "1" else "", [*path[:-2], "shortcut"]
            if path[-1] == "conv_offset":
                path = [*path[:-2], "conv2_offset"]
            path = ["stem", *path[1:]] if path[1] == "conv1" else [f"res{int(path[1][5:]) + 1}", *path[2:]]
            path = ["backbone", "bottom_up", *path]
        elif path[0] == "neck":
            kind = {"lateral_convs": "fpn_lateral", "fpn_convs": "fpn_output"}[path[1]]
            path, norm = ["backbone", f"{kind}{int(path[2]) + 2}"], "norm." if path[3] == "gn" else ""
        elif path[0] == "rpn_head":
            layer = {"rpn_conv": "conv", "rpn_cls": "objectness_logits", "rpn_reg": "anchor_deltas"}[path[1]]
            path = ["proposal_generator", "rpn_head", layer]
        else:
            stage, layer = path[2:4]
            norm = "norm." if path[-1] == "gn" else ""
            if layer in ("fc_cls", "fc_reg"):
                named = {"fc_cls": "cls_score", "fc_reg": "bbox_pred"}[layer]
                path = ["roi_heads", "box_predictor", stage, named]
            else:
                named = {"shared_convs": "conv", "shared_fcs": "fc"}[layer]
                path = ["roi_heads", "box_head", stage, f"{named}{int(path[4]) + 1}"]
        yield ours, f"{'.'.join(path)}.{norm}{last}"


# Published listings of detectron2 models. With group norm everywhere: the table its checkpointer prints for
# deepdoctection's layout model (Cascade R-CNN, ResNeXt-50 32x4d, FPN). Heads with convolutions: a report of
# the names missing where such a model was expected (AniMer, pull request 3).
PUBLISHED_GROUP_NORM = {
    "backbone.bottom_up.stem.conv1.weight": (64, 3, 7, 7),
    "backbone.bottom_up.stem.conv1.norm.weight": (64,),
    "backbone.bottom_up.res4.0.conv2.weight": (512, 16, 3, 3),
    "backbone.bottom_up.res4.0.conv2.norm.bias": (512,),
    "backbone.bottom_up.res5.0.shortcut.weight": (2048, 1024, 1, 1),
    "backbone.bottom_up.res5.0.shortcut.norm.weight": (2048,),
    "backbone.bottom_up.res5.2.conv3.norm.weight": (2048,),
    "backbone.fpn_lateral2.weight": (256, 256, 1, 1),
    "backbone.fpn_lateral2.norm.weight": (256,),
    "backbone.fpn_output5.weight": (256, 256, 3, 3),
    "backbone.fpn_output5.norm.bias": (256,),
    "proposal_generator.rpn_head.conv.weight": (256, 256, 3, 3),
    "proposal_generator.rpn_head.objectness_logits.bias": (3,),
    "proposal_generator.rpn_head.anchor_deltas.weight": (12, 256, 1, 1),
    "roi_heads.box_head.0.fc1.weight": (1024, 12544),
    "roi_heads.box_head.2.fc2.bias": (1024,),
    "roi_heads.box_predictor.0.bbox_pred.weight": (4, 1024),
    "roi_heads.box_predictor.2.cls_score.weight": (6, 1024),
}
PUBLISHED_HEADS = [
    f"roi_heads.box_head.{stage}.{layer}"
    for stage in range(3)
    for layer in (
        *(f"conv{k}.{kind}" for k in (1, 2, 3, 4) for kind in ("weight", "norm.bias", "norm.weight")),
        "fc1.bias",
        "fc1.weight",
    )
]


def test_detectron2_with_group_norm_has_the_published_names_and_shapes(tmp_path: Path) -> None:
    options = CascadeOptions(
        backbone=ResNetOptions(groups=32, width_per_group=4, norm="group"),
        neck=FpnOptions(norm="group"),
        head=CascadeHeadOptions(average="probabilities"),
    )
    shapes = _shapes(options, 5)
    theirs = {name: shapes[ours] for ours, name in _detectron2(options, 5)}
    assert PUBLISHED_GROUP_NORM.items() <= theirs.items()
    torch.save({"model": _light(theirs), "iteration": 9}, tmp_path / "model_final.pth")
    report = import_weights(tmp_path / "model_final.pth", rows=(1, 3))[1]
    assert report.options == options and report.family == "detectron2"
    assert report.pixels.order == "bgr" and report.pixels.std == (57.375, 57.12, 58.395)


def test_detectron2s_x152_is_recognised_with_its_masks_left_out(tmp_path: Path) -> None:
    options = PRESETS["cascade_x152_32x8d_dcn"]
    shapes = _shapes(options)
    theirs = {name: shapes[ours] for ours, name in _detectron2(options)}
    assert set(PUBLISHED_HEADS) == {name for name in theirs if name.startswith("roi_heads.box_head.")}
    assert theirs["backbone.bottom_up.res3.0.conv2_offset.weight"] == (18, 512, 3, 3)
    masks = {
        "roi_heads.mask_head.mask_fcn1.norm.weight": (256,),
        "roi_heads.mask_head.predictor.weight": (80, 256, 1, 1),
        "proposal_generator.anchor_generator.cell_anchors.0": (3, 4),
    }
    path = tmp_path / "model.pth"
    torch.save({"model": _light(theirs | masks), "__author__": "Detectron2 Model Zoo"}, path)
    state, report = import_weights(path, options)
    assert report.options == options and sum(report.dropped.values()) == 3
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == _shapes(options, 2)
    assert import_weights(path)[1].options == options


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_model_zoo_pickle_gives_every_number_to_its_name(tmp_path: Path, protocol: int) -> None:
    source = _random(SMALL)
    pairs = dict(_detectron2(SMALL))
    model = {theirs: source[ours].numpy() for ours, theirs in pairs.items()}
    model["pixel_mean"] = np.array([[[1.0]], [[2.0]], [[3.0]]], np.float32)
    path = tmp_path / "model_final_480dd8.pkl"
    with path.open("wb") as stream:
        pickle.dump({"model": model, "__author__": "Detectron2 Model Zoo"}, stream, protocol)
    state, report = import_weights(path)
    assert report.options.backbone == ResNetOptions(depth=18, style="caffe")
    assert report.pixels.mean == (1.0, 2.0, 3.0) and report.pixels.std == (1.0, 1.0, 1.0)
    assert all(torch.equal(state[ours], source[ours]) for ours in pairs if "fc_cls" not in ours)
    assert report.careful == ()
    said = import_weights(path, SMALL)[1].lines()
    assert "careful: these weights are of backbone.style caffe, not pytorch" in said
    assert "careful: they were trained for head.average probabilities, not logits" in said
    written = CascadeOptions.model_validate(yaml.safe_load(report.yaml())["model"])
    assert written == report.options


def test_imagenet_weights_fill_the_backbone_and_nothing_else(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    source = resnet18().state_dict()
    torch.save(source, tmp_path / "resnet18.pth")
    deformable = SMALL.model_copy(update={"backbone": ResNetOptions(depth=18, deformable="v1")})
    for options in (SMALL, deformable):
        detector = build_detector(options, 2)
        head = detector.state_dict()["roi_head.bbox_head.0.fc_cls.weight"].clone()
        report = start_from(detector, tmp_path / "resnet18.pth", options)
        made = detector.state_dict()
        assert all(
            torch.equal(made[f"backbone.{k}"], v) for k, v in source.items() if not k.startswith("fc.")
        )
        assert torch.equal(made["roi_head.bbox_head.0.fc_cls.weight"], head)
        assert report.dropped == {"fc": 2} and report.rows is None
        assert any("start at random" in line and "neck" in line for line in report.lines())
    with pytest.raises(BadInput, match=r"ResNet-18.*expected were those of .*ResNet-34.* missing \(backbone"):
        import_weights(tmp_path / "resnet18.pth", CascadeOptions(backbone=ResNetOptions(depth=34)))


def test_weights_of_another_architecture_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "r50.pth"
    torch.save(_light(_shapes(PRESETS["cascade_r50"])), path)
    with pytest.raises(BadInput) as refused:
        import_weights(path, PRESETS["cascade_x101_32x4d_dcn"])
    said = str(refused.value)
    assert "weights of Cascade R-CNN, ResNet-50, FPN-256" in said
    assert "expected were those of Cascade R-CNN, ResNeXt-101 32x4d with DCNv1" in said
    assert " missing (backbone." in said and "of another shape" in said and "\n" not in said
    broken = _light(_shapes(SMALL))
    broken["neck.extra.weight"] = broken.pop("neck.fpn_convs.1.conv.bias")
    torch.save(broken, path)
    with pytest.raises(
        BadInput, match=r"1 missing \(neck.fpn_convs.1.conv.bias\); 1 unexpected \(neck.extra"
    ):
        import_weights(path)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("roi_head.bbox_head.fc_cls.weight", "a single-stage head"),
        ("roi_heads.box_predictor.cls_score.weight", "a single-stage head"),
        ("bbox_head.0.fc_cls.weight", "mmdet 1, whose background is the first class"),
        ("bbox_head.cls_convs.0.conv.weight", "one-stage detector of mmdet"),
        ("res2_0_branch2a_w", "Caffe2's names"),
        ("backbone.stem.0.weight", "deep stem"),
        ("patch_embed.proj.weight", "a transformer"),
        ("encoder.weight", r"neither a Cascade R-CNN nor a ResNet \(it begins with encoder.weight\)"),
    ],
)
def test_other_detectors_are_named_and_refused(name: str, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        renamed({"pixel_mean": torch.ones(3), name: torch.ones(1)}, "file.pth")


def test_a_head_that_regresses_per_class_or_deforms_otherwise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    shapes = _shapes(SMALL)
    torch.save(_light(shapes | {f"roi_head.bbox_head.{k}.fc_reg.weight": (320, 16) for k in range(3)}), path)
    with pytest.raises(BadInput, match="refined for each of 80 classes"):
        import_weights(path)
    torch.save(_light(shapes | {"backbone.layer4.0.conv2.conv_offset.weight": (18, 512, 3, 3)}), path)
    with pytest.raises(BadInput, match="deformable convolutions in layer4"):
        import_weights(path)
    torch.save(_light({k: v for k, v in shapes.items() if not k.startswith("backbone.layer3.1")}), path)
    with pytest.raises(BadInput, match=r"weights.pth: its backbone is no ResNet"):
        import_weights(path)
