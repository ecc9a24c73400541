"""A trained detector as one file: what comes back is what went in, or one line says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import falldet.models
from falldet.model.build import build_detector
from falldet.model.file import Model, ModelCard, has_card, options_of, read_model, write_model
from falldet.model.options import (
    CascadeHeadOptions,
    CascadeOptions,
    DenseOptions,
    Detector,
    PanOptions,
    PersonProposalOptions,
    PixelOptions,
    ShuffleNetOptions,
)
from falldet.model.start import started_detector
from falldet.models import model_file, open_model, shipped_names
from suite.errors import BadInput

BACKBONE, NECK = ShuffleNetOptions(width="0.5x"), PanOptions(channels=16)
DENSE = DenseOptions(backbone=BACKBONE, neck=NECK, score=0.0, most=10)
CASCADE = CascadeOptions(
    backbone=BACKBONE,
    neck=PanOptions(channels=16, deformable="v2"),
    proposals=PersonProposalOptions(score=0.0, after_nms=6),
    head=CascadeHeadOptions.model_validate({"box": {"fc_channels": 8}, "score": 0.0}),
)
CARD = ModelCard(
    name="tiny",
    model=DENSE,
    pixels=PixelOptions(long_px=96, order="bgr"),
    threshold=0.1234567890123,
    not_fallen_floor=0.25,
    trained_on=("bed: 3 pictures", "drawn: 2 pictures"),
    licence="CC-BY-4.0 (bed)",
    settings={"seed": 3, "train_cpu_s": 12.5, "torch": "2.11.0"},
)


def tiny(options: Detector = DENSE, seed: int = 0) -> nn.Module:
    """With outputs that vary from place to place, so that orders of boxes are certain."""
    torch.manual_seed(seed)
    detector = build_detector(options, 2)
    for name, parameter in detector.named_parameters():
        if "outputs" in name and name.endswith("weight"):
            nn.init.normal_(parameter, std=0.5)
    return detector.eval()


def pictures(count: int = 3) -> list[np.ndarray]:
    """Smooth, of different sizes."""
    rng = np.random.default_rng(0)
    sizes = [(60, 90), (120, 80), (48, 72), (90, 60)]
    return [
        cv2.resize(rng.integers(0, 256, (6, 6, 3)).astype(np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
        for h, w in sizes[:count]
    ]


@pytest.mark.parametrize("options", [DENSE, CASCADE], ids=["dense", "cascade"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path, options: Detector):
    detector, card = tiny(options), CARD.model_copy(update={"model": options})
    path = tmp_path / "model.safetensors"
    write_model(path, detector, card)
    model = read_model(path)
    assert model.card == card
    assert not model.detector.training
    before, after = detector.state_dict(), model.detector.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for one, other in zip(Model(detector, card).detect(pictures()), model.detect(pictures()), strict=True):
        np.testing.assert_array_equal(one.boxes_px, other.boxes_px)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert has_card(path)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_half_the_bits_are_half_the_file_and_nearly_the_weights(tmp_path: Path):
    detector = tiny()
    write_model(tmp_path / "whole.safetensors", detector, CARD)
    write_model(tmp_path / "half.safetensors", detector, CARD, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    read = read_model(tmp_path / "half.safetensors").detector.state_dict()
    for name, value in detector.state_dict().items():
        assert read[name].dtype == value.dtype == torch.float32
        torch.testing.assert_close(read[name], value, rtol=2**-10, atol=1e-7)
    assert next(detector.parameters()).dtype == torch.float32  # the one in memory stays whole


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(BadInput) as caught:
        call(*arguments, **named)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize(("value", "half", "text"), [
    (float("nan"), False, "are not finite; lower the learning rate"),
    (float("inf"), True, "are not finite; lower the learning rate"),
    (1e5, True, "are too large for 16 bits"),
])  # fmt: skip
def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path, value: float, half: bool, text: str):
    path = tmp_path / "model.safetensors"
    write_model(path, tiny(), CARD)
    before = path.read_bytes()
    bad = tiny()
    name, parameter = list(bad.named_parameters())[-1]
    parameter.data.view(-1)[0] = value
    said = refusal(write_model, path, bad, CARD, half=half)
    assert said.startswith(f"{path}: weights of {name} {text}")
    assert path.read_bytes() == before  # what was there stays
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_are_no_model_are_refused(tmp_path: Path):
    good = tmp_path / "good.safetensors"
    detector = tiny()
    write_model(good, detector, CARD)
    content = good.read_bytes()
    state = dict(detector.state_dict())
    name = next(iter(state))

    def saved(weights: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> bytes:
        save_file(weights, tmp_path / "other.safetensors", metadata)
        return (tmp_path / "other.safetensors").read_bytes()

    card = CARD.model_dump_json()
    other = CARD.model_copy(update={"model": DENSE.model_copy(update={"bins": 7})}).model_dump_json()
    three = CARD.model_copy(update={"classes": ("a", "b", "c")}).model_dump_json()
    future = json.dumps(json.loads(card) | {"version": 2})
    odd = json.dumps(json.loads(card) | {"model": {"type": "yolo"}})
    for made, text in (
        (b"", "is no file of weights (safetensors), or is cut short"),
        (content[:5], "or is cut short"),
        (content[:500], "or is cut short"),
        (content[:-1], "is damaged"),
        (content[: len(content) // 2], "is damaged"),
        (b"not a model at all", "is no file of weights"),
        (b"\xff" * 64, "is no file of weights"),
        (saved(state, None), "has no card of falldet; weights of mmdet or detectron2 are made ours"),
        (saved(state, {"format": "pt"}), "has no card of falldet"),
        (
            saved(state, {"falldet.card": other}),
            "its weights are not those of the dense detector on its card",
        ),
        (saved(state, {"falldet.card": three}), "its weights are not those"),
        (saved({k: v for k, v in state.items() if k != name}, {"falldet.card": card}), f"(first: {name})"),
        (saved(state | {"more": torch.zeros(1)}, {"falldet.card": card}), "(first: more)"),
        (saved(state, {"falldet.card": "{}}"}), "its card cannot be used"),
        (saved(state, {"falldet.card": future}), "its card cannot be used (version"),
        (saved(state, {"falldet.card": odd}), "its card cannot be used (model"),
        (saved(state | {name: state[name] * torch.nan}, {"falldet.card": card}), "are not finite"),
    ):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(made)
        said = refusal(read_model, path)
        assert said.startswith(f"{path}: ") and text in said, said
    assert "cannot be read" in refusal(read_model, tmp_path / "nowhere.safetensors")
    assert "cannot be read" in refusal(read_model, tmp_path)


@pytest.mark.parametrize("options", [DENSE, CASCADE], ids=["dense", "cascade"])
def test_pictures_together_are_pictures_alone(options: Detector):
    model = Model(tiny(options), CARD.model_copy(update={"model": options}))
    many = pictures(4)
    together = model.detect(many)
    assert all(len(found) for found in together)
    for picture, found in zip(many, together, strict=True):
        (alone,) = model.detect([picture])
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes_px, alone.boxes_px, atol=1e-2)
        np.testing.assert_array_equal(found.labels, alone.labels)
        height, width = picture.shape[:2]
        assert (found.boxes_px >= 0).all()
        assert (found.boxes_px <= [width, height, width, height]).all()
        assert (np.diff(found.scores) <= 0).all()
    assert model.detect([]) == []


def test_boxes_are_in_the_pictures_own_pixels():
    """A picture and its enlargement look alike to the network, so boxes must grow with the picture."""
    model = Model(tiny(), CARD)
    small = np.random.default_rng(0).integers(0, 256, (48, 96, 3)).astype(np.uint8)
    large = np.repeat(np.repeat(small, 3, 0), 3, 1)  # scaled down again, cv2 takes the middle pixel of three
    one, three = model.detect([small])[0], model.detect([large])[0]
    np.testing.assert_allclose(three.scores, one.scores, atol=1e-5)
    np.testing.assert_allclose(three.boxes_px, 3 * one.boxes_px, atol=1e-2)
    assert three.boxes_px.max() > 144


def test_a_card_forgets_where_a_detector_started(tmp_path: Path):
    options = DENSE.model_copy(update={"weights": tmp_path / "start.safetensors"})
    assert options_of(options) == DENSE


def test_a_model_is_a_start_for_a_detector_of_its_kind(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    detector = tiny(seed=5)
    write_model(path, detector, CARD)
    classes = ("fallen", "not_fallen")
    again = started_detector(DENSE.model_copy(update={"weights": path}), classes).detector.state_dict()
    assert all(torch.equal(again[name], value) for name, value in detector.state_dict().items())
    for options in (DENSE.model_copy(update={"bins": 7}), CASCADE):
        said = refusal(started_detector, options.model_copy(update={"weights": path}), classes)
        assert "is of another architecture (first: " in said
    options = DENSE.model_copy(update={"weights": path})
    swapped = CARD.pixels.model_copy(update={"mean": CARD.pixels.mean[::-1], "std": CARD.pixels.std[::-1]})
    assert "fed otherwise than `pixels` says" in refusal(started_detector, options, classes, swapped)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two models, and an empty folder to work in."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    write_model(folder / "light.safetensors", tiny(), CARD.model_copy(update={"name": "light"}))
    write_model(folder / "dense.safetensors", tiny(), CARD.model_copy(update={"name": "dense"}))
    monkeypatch.setattr(falldet.models, "SHIPPED", folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_models_are_found_by_name_file_and_run(shipped: Path):
    assert shipped_names() == ("dense", "light")
    assert open_model().card.name == "light"  # pyright: ignore[reportAttributeAccessIssue]
    assert model_file("dense") == shipped / "dense.safetensors"
    Path("light").mkdir()  # a folder that happens to be called so
    assert model_file("light") == shipped / "light.safetensors"
    run = Path("runs/mine")
    run.mkdir(parents=True)
    assert "runs/mine: holds no model; name the folder of a run" in refusal(model_file, "runs/mine")
    (run / "model.safetensors").write_bytes((shipped / "dense.safetensors").read_bytes())
    assert model_file(run) == run / "model.safetensors"
    assert model_file(run / "model.safetensors") == run / "model.safetensors"
    mmdet = Path("runs/theirs/model")
    mmdet.mkdir(parents=True)
    (mmdet / "mmdet.json").write_text("{}")
    assert model_file("runs/theirs") == model_file(mmdet) == mmdet


def test_names_that_are_not_there_are_told(shipped: Path, monkeypatch: pytest.MonkeyPatch):
    assert refusal(model_file, "ligth") == "ligth: no such model, file or folder; did you mean light?"
    assert refusal(model_file, "zzz").endswith("shipped are: dense, light")
    monkeypatch.setattr(falldet.models, "SHIPPED", shipped / "nowhere")
    assert refusal(model_file, "light").endswith("shipped are: none")


def test_a_device_that_is_not_there_is_told(shipped: Path):
    said = refusal(open_model, "light", "cuda:99")
    assert said.startswith("device cuda:99: cannot be used here (") and said.endswith("use cpu")
    assert refusal(open_model, "light", "toaster").startswith("device toaster: cannot be used here (")
