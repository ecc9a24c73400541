"""ONNX: the file finds the same people as the model on real pictures of any shape, or it is not written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

from falldet.detections import Detections
from falldet.model import resnet, shufflenet
from falldet.model.build import build_detector
from falldet.model.detector import CascadeRCNN
from falldet.model.file import Model, ModelCard
from falldet.model.nanodet import NanoDet
from falldet.model.options import (
    BoxHeadOptions,
    CascadeHeadOptions,
    CascadeOptions,
    DenseOptions,
    Detector,
    FpnOptions,
    PanOptions,
    PersonProposalOptions,
    PixelOptions,
    ResNetOptions,
    RpnOptions,
    ShuffleNetOptions,
)
from falldet.model.pixels import batched, to_input
from falldet.onnx import export as exporting
from falldet.onnx import run_onnx
from falldet.onnx.agreement import Difference, Limits, difference
from falldet.onnx.export import SCRIPT, TEMPLATE, Disagreement, ExportReport, compare, export
from falldet.onnx.graph import describe
from falldet.onnx.preparation import IMAGES, PICTURE, PICTURE_SIZE, SIZE, preparation_graph
from suite.data.images import read_image
from suite.errors import BadInput

LIGHT = ShuffleNetOptions(width="0.5x")
HEAD = CascadeHeadOptions(
    box=BoxHeadOptions(fcs=1, fc_channels=32),
    pool_px=3,
    ious=(0.5, 0.6),
    loss_weights=(1.0, 0.5),
    stds=((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1)),
)
KINDS: dict[str, Detector] = {
    "dense": DenseOptions(backbone=LIGHT, neck=PanOptions(channels=16)),
    "light": CascadeOptions(
        backbone=LIGHT,
        neck=PanOptions(channels=16, deformable="v2"),
        proposals=PersonProposalOptions(after_nms=30),
        head=HEAD.model_copy(update={"finest_scale_px": 16}),
    ),
    "heavy": CascadeOptions(
        backbone=ResNetOptions(depth=18, deformable="v2"),
        neck=FpnOptions(channels=16),
        proposals=RpnOptions(before_nms=100, after_nms=60),
        head=HEAD.model_copy(
            update={
                "average": "probabilities",
                "finest_scale_px": 16,
                **{name: getattr(HEAD, name)[:1] for name in ("ious", "loss_weights", "stds")},
            }
        ),
    ),
}
PIXELS = PixelOptions(long_px=128, order="bgr", mean=(103.5, 116.3, 123.7), std=(57.4, 57.1, 58.4))


def shallow(options: Detector) -> NanoDet | CascadeRCNN:
    """With one or two blocks a stage, since what an export costs is by the node; and opinions that differ."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shufflenet, "_REPEATS", (2, 1, 1))
        patch.setitem(resnet.BLOCKS, 18, (1, 1, 1, 1))
        detector = build_detector(options, 2)
    for name, module in detector.named_modules():
        if name.endswith(("conv_offset", "deform_conv")):
            nn.init.normal_(module.weight, std=0.1)  # pyright: ignore[reportArgumentType]
    for name, value in detector.named_parameters():
        if "outputs" in name or "rpn_cls" in name or "fc_cls" in name:
            nn.init.normal_(value, std=0.3)
    return detector.eval()


def spread(detector: NanoDet | CascadeRCNN, picture: np.ndarray) -> None:
    """Scale class outputs until scores on this picture run from nothing to nearly sure."""
    outputs: list[nn.Module] = []
    for name, module in detector.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and (
            "outputs." in name or name.endswith(("rpn_cls", "fc_cls"))
        ):
            outputs.append(module)
    images, sizes = batched([to_input(picture, PIXELS)], 32)
    for module in outputs:
        said: list[torch.Tensor] = []
        hook = module.register_forward_hook(lambda _m, _i, out, said=said: said.append(out))
        with torch.no_grad():
            detector(images, sizes)
        hook.remove()
        scale = 1.5 / said[0].std().clamp(min=1e-6)
        with torch.no_grad():
            for value in module.parameters():
                value.mul_(scale)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pieces of scikit-learn's two photographs: landscape, portrait, one turned by EXIF, one small."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    boxes = [(0, 0, 640, 427), (100, 20, 333, 420), (50, 50, 311, 250), (300, 100, 340, 131)]
    for i, box in enumerate(boxes):
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 2 else 1
        paths.append(folder / f"{i}.{'jpg' if i % 2 == 0 else 'png'}")
        Image.fromarray(load_sample_images().images[i % 2]).crop(box).save(paths[-1], exif=exif)
    return paths


@pytest.fixture(scope="module", params=list(KINDS))
def exported(
    request: pytest.FixtureRequest, photos: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Model, ExportReport]]:
    options = KINDS[request.param]
    detector = shallow(options)
    spread(detector, np.asarray(Image.open(photos[0])))
    card = ModelCard(model=options, pixels=PIXELS, threshold=0.2, licence="CC0-1.0", name=request.param)
    model = Model(detector, card)
    out = tmp_path_factory.mktemp("onnx") / "small.onnx"
    yield out, model, export(model, out, photos)


Exported = tuple[Path, Model, ExportReport]


def of_graph(file: Path, rgb: np.ndarray, classes: tuple[str, ...]) -> Detections:
    session, _ = run_onnx.open_model(file, threads=1)
    boxes, scores, labels = (np.asarray(part) for part in run_onnx.detect(session, rgb))
    return Detections(boxes, scores, labels, classes)


def altered(file: Path, to: Path, change: dict[str, float]) -> onnx.ModelProto:
    """The graph with a number added to the weights whose name ends so, also written to a file."""
    graph = onnx.load(file)
    hit = set()
    for weight in graph.graph.initializer:
        for ending, plus in change.items():
            if weight.name.endswith(ending):
                values = numpy_helper.to_array(weight) + np.float32(plus)
                weight.CopyFrom(numpy_helper.from_array(values, weight.name))
                hit.add(ending)
    assert hit == set(change)
    onnx.save(graph, to)
    return graph


def outputs_of(model: Model) -> str:
    return "outputs.0.bias" if isinstance(model.detector, NanoDet) else "bbox_head.0.fc_reg.weight"


def test_it_agrees_far_better_than_it_has_to(exported: Exported):
    _, _, report = exported
    assert report.pictures == 20
    assert report.people > 100
    assert report.missing == 0
    assert report.largest_box_px < 1e-2
    assert report.largest_score < 1e-4


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported: Exported):
    out, model, report = exported
    graph = onnx.load(out)
    onnx.checker.check_model(graph, full_check=True)
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert json.loads(said["classes"]) == ["fallen", "not_fallen"]
    assert float(said["threshold"]) == 0.2
    assert said["licence"] == "CC0-1.0"
    assert "(h, w, 3) uint8 RGB" in said["input"]
    assert json.loads(said["agreement"])["largest_box_px"] == report.largest_box_px
    assert PixelOptions.model_validate_json(said["pixels"]) == model.card.pixels
    content = out.read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    assert out.with_name(SCRIPT).read_bytes() == TEMPLATE.read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == [SCRIPT, out.name]


@pytest.mark.parametrize(
    "size", [(240, 320), (320, 240), (97, 31), (16, 200), (200, 12), (20, 20), (600, 600)]
)
def test_pictures_of_any_shape(exported: Exported, size: tuple[int, int]):
    out, model, _ = exported
    big = np.tile(load_sample_images().images[1], (2, 1, 1))
    rgb = np.ascontiguousarray(big[: size[0], : size[1]])
    own, found = model.detect([rgb])[0], of_graph(out, rgb, model.card.classes)
    assert len(own) > 0
    limits = Limits(0.05, 0.5, 100)
    away = difference(own, found, 1.0, limits)
    assert away.within(limits) and away.matched > 0
    assert (found.boxes_px >= 0).all() and (found.boxes_px <= [*size[::-1], *size[::-1]]).all()
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_pictures_of_no_size_to_speak_of(exported: Exported, size: tuple[int, int]):
    """All is at the edge there and scores are alike, so that who is told may differ, but not how."""
    out, model, _ = exported
    rgb = np.full((*size, 3), 90, np.uint8)
    own, found = model.detect([rgb])[0], of_graph(out, rgb, model.card.classes)
    np.testing.assert_allclose(found.scores[:1], own.scores[:1], atol=1e-5)
    assert (found.boxes_px >= 0).all() and (found.boxes_px <= [*size[::-1], *size[::-1]]).all()


def test_nobody_is_an_empty_answer(exported: Exported, tmp_path: Path, photos: list[Path]):
    out, model, _ = exported
    graph = onnx.load(out)
    sure_of_nobody = np.array([-1e3, -1e3, 1e3], np.float32)
    for weight in graph.graph.initializer:
        if (
            isinstance(model.detector, NanoDet)
            and ".outputs." in weight.name
            and weight.name.endswith("bias")
        ):
            values = numpy_helper.to_array(weight) - np.float32(1e3)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        elif weight.name.endswith("fc_cls.bias"):
            weight.CopyFrom(numpy_helper.from_array(sure_of_nobody, weight.name))
    onnx.save(graph, tmp_path / "none.onnx")
    found = of_graph(tmp_path / "none.onnx", run_onnx.read_rgb(photos[0]), model.card.classes)
    assert len(found) == 0 and found.boxes_px.shape == (0, 4)


def test_a_cascade_without_proposals_finds_nobody(exported: Exported, tmp_path: Path, photos: list[Path]):
    out, model, _ = exported
    if model.card.name != "light":
        pytest.skip("only a person detector may propose nothing")
    altered(out, tmp_path / "none.onnx", {f"head.outputs.{level}.bias": -1e3 for level in range(3)})
    assert len(of_graph(tmp_path / "none.onnx", run_onnx.read_rgb(photos[0]), model.card.classes)) == 0


def test_a_graph_that_says_something_else_is_not_written(
    exported: Exported, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, model, _ = exported
    graph = altered(out, tmp_path / "mutated", {outputs_of(model): 0.1})
    (tmp_path / "mutated").unlink()
    monkeypatch.setattr(exporting, "whole_graph", lambda *_: graph)
    with pytest.raises(Disagreement, match="does not agree with the model on 20 pictures"):
        export(model, tmp_path / "wrong.onnx", photos)
    assert list(tmp_path.iterdir()) == []


def test_the_script_stands_alone(exported: Exported, photos: list[Path], tmp_path: Path):
    """In a process that can not import torch or this project; its lines are those of `falldet predict`."""
    out, model, _ = exported
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    refused = "import sys; sys.modules.update(dict.fromkeys(['torch', 'falldet', 'suite', 'cv2']))"
    code = f"{refused}; import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    asked = [
        str(out.with_name(SCRIPT)),
        str(out),
        "--threads",
        "1",
        str(photos[0].parent),
        str(tmp_path / "broken.jpg"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "broken.jpg: cannot be read" in done.stderr and done.stderr.count("\n") == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines] == [path.name for path in photos]
    people = 0
    for path, line in zip(photos, lines, strict=True):
        rgb = read_image(path)
        own = model.detect([rgb])[0].above(model.card.threshold).as_dicts()
        assert list(line) == ["name", "width_px", "height_px", "detections"]
        assert (line["height_px"], line["width_px"]) == rgb.shape[:2]
        assert len(line["detections"]) == len(own)
        for said, wanted in zip(line["detections"], own, strict=True):
            assert said["class"] == wanted["class"]
            assert said["score"] == pytest.approx(wanted["score"], abs=2e-4)
            assert said["box_px"] == pytest.approx(wanted["box_px"], abs=0.2)
        people += len(line["detections"])
    assert people > 0


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_preparation_is_the_models_own_to_the_last_bit(order: str):
    import onnxruntime

    rng = np.random.default_rng(0)
    options = PixelOptions.model_validate({"long_px": 160, "short_px": 96, "order": order})
    graph = preparation_graph(options, 19)
    graph.ir_version = 10
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    sizes = [(320, 320), (1, 1), (640, 7), (96, 160), *map(tuple, rng.integers(1, 500, (24, 2)).tolist())]
    for height, width in sizes:
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        own, size = batched([to_input(rgb, options)], options.divisor)
        found = session.run([IMAGES, SIZE, PICTURE_SIZE], {PICTURE: rgb})
        np.testing.assert_array_equal(found[0], own.numpy())
        np.testing.assert_array_equal(found[1], size[0])
        np.testing.assert_array_equal(found[2], (height, width))


def test_what_cannot_be_exported_is_refused_before_any_work(
    exported: Exported, photos: list[Path], tmp_path: Path
):
    out, model, _ = exported
    with pytest.raises(BadInput, match="3 pictures to compare on, 4 are wanted"):
        export(model, tmp_path / "a.onnx", photos[:3])
    with pytest.raises(BadInput, match="exists already"):
        export(model, out, photos)
    with pytest.raises(BadInput, match=r"does not end in \.onnx"):
        export(model, tmp_path / "a.pt", photos)
    (tmp_path / SCRIPT).write_text("mine = 1\n")
    with pytest.raises(BadInput, match="is another file"):
        export(model, tmp_path / "a.onnx", photos[0].parent)
    assert [path.name for path in tmp_path.iterdir()] == [SCRIPT]


def test_agreement_on_nobody_is_none(exported: Exported, monkeypatch: pytest.MonkeyPatch):
    out, model, _ = exported
    blank = [np.zeros((40, 60, 3), np.uint8)] * 4
    monkeypatch.setattr(Model, "detect", lambda _self, pictures: [Detections.none() for _ in pictures])
    monkeypatch.setattr(exporting, "Detections", lambda *_, classes: Detections.none(classes))
    with pytest.raises(BadInput, match="nobody was found in 20 pictures"):
        compare(model, out, blank)


def people(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64)
    )


LIMITS = Limits(score=0.05, nms_iou=0.6, most=100)
ONE = (10.0, 10.0, 50.0, 90.0, 0.8, 0)


def test_differences_are_measured_in_pixels_of_the_input():
    away = difference(people(ONE), people((10.2, 10, 50, 90, 0.7995, 0)), 0.25, LIMITS)
    assert away.matched == 1 and away.within(LIMITS)
    assert away.largest_box_px == pytest.approx(0.05, abs=1e-5)
    assert away.largest_score == pytest.approx(5e-4, abs=1e-6)
    assert not difference(people(ONE), people((10.2, 10, 50, 90, 0.8, 0)), 1.0, LIMITS).within(LIMITS)
    assert not difference(people(ONE), people((10, 10, 50, 90, 0.79, 0)), 1.0, LIMITS).within(LIMITS)
    assert not difference(people(ONE), people((np.nan, 10, 50, 90, 0.8, 0)), 1.0, LIMITS).within(LIMITS)


def test_a_share_may_be_missing_where_that_is_allowed():
    far = (10.0, 110.0, 50.0, 190.0, 0.3, 0)
    rows = [(10.0 + 50 * i, 10.0, 50.0 + 50 * i, 90.0, 0.8, 0) for i in range(300)]
    away = difference(people(*rows[:299], far), people(*rows[:299]), 1.0, LIMITS)
    assert away.missing == 1 and away.matched == 299
    assert not away.within(LIMITS)
    assert away.within(Limits(0.05, 0.6, 100, missing_share=0.005))
    assert not away.within(Limits(0.05, 0.6, 100, missing_share=0.003))


@pytest.mark.parametrize("turned", [False, True])
def test_somebody_in_one_list_alone_is_missing_unless_rounding_decides(turned: bool):
    def between(other: Detections) -> Difference:
        first, second = (other, people(ONE)) if turned else (people(ONE), other)
        return difference(first, second, 1.0, LIMITS)

    far = (200.0, 10.0, 240.0, 90.0)
    assert between(people(ONE, (*far, 0.3, 0))).missing == 1
    assert between(people((*ONE[:4], 0.8, 1))).missing == 2
    assert between(people(ONE, (*far, 0.0505, 0))).at_the_brink == 1
    overlapping = (10.0, 10.0, 50.0, 58.0)  # 48 of 80 rows: an overlap of 0.6
    assert between(people(ONE, (*overlapping, 0.3, 0))).at_the_brink == 1
    assert between(people(ONE, (*overlapping, 0.3, 1))).missing == 1


def test_properties_are_added_to_what_is_there(exported: Exported):
    graph = onnx.load(exported[0])
    before = len(graph.metadata_props)
    describe(graph, {"threshold": "0.9", "new": "yes"})
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert len(said) == before + 1 and said["threshold"] == "0.9" and said["new"] == "yes"
