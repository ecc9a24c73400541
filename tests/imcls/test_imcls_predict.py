"""Images nobody labelled: the vote is the formula, order is kept, unreadable files listed, memory bounded."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imcls.config import ImclsConfig, TtaOptions
from imcls.member import Member, MemberCard, card_of
from imcls.model.build import build_classifier
from imcls.predict import ImageFile, Unreadable, find_images, predict, predict_batches
from imcls.prediction_files import write_csv, write_json, writer_for
from imcls.predictions import Predictions
from imcls.voting.vote import Voters, as_logits, member_logits
from suite.config import load_config
from suite.errors import BadInput

CLASSES = ("daisy", "tulip; red", "rose")
TINY = ("model.backbone={type: resnet9, width: 8}", "input.image_px=32")
PLAIN = TtaOptions()


def member(seed: int, *settings: str, temperature: float = 1.0, **card: object) -> Member:
    torch.manual_seed(seed)
    config = load_config(ImclsConfig, overrides=[*TINY, *settings]).config
    model = build_classifier(config.model, len(CLASSES), image_px=config.input.image_px).eval()
    found = card_of(model, config, CLASSES, temperature=temperature)
    return Member(model, MemberCard.model_validate(found.model_dump() | card))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures of different sizes and kinds, two files that are none, one note."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    (root / "deep" / "er").mkdir(parents=True)
    for i, name in enumerate(["b.png", "a.jpg", "deep/c.JPG", "deep/er/d.webp", "e.bmp", "f.png", "g.png"]):
        pixels = rng.integers(0, 256, (40 + 7 * i, 90 - 5 * i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    (root / "deep" / "empty.jpg").touch()
    (root / "cut.jpg").write_bytes((root / "a.jpg").read_bytes()[:200])
    (root / "notes.txt").write_text("no image")
    return root


def test_a_folder_is_judged_in_order_and_unreadable_files_are_listed(folder: Path):
    voters = Voters((member(0),), (1.0,))
    found, unreadable = predict(voters, folder, batch_size=3)
    names = ("a.jpg", "b.png", "deep/c.JPG", "deep/er/d.webp", "e.bmp", "f.png", "g.png")
    assert found.names == names
    assert unreadable.names == ["cut.jpg", "deep/empty.jpg"]
    assert "empty (0 bytes)" in unreadable.lines[1]
    one = member(0)
    way = one.card.preparation
    for name, logits in zip(found.names, found.logits, strict=True):  # each judged alone gives the same
        with torch.inference_mode():
            alone = member_logits(one, way.square(folder / name)[None], PLAIN)[0]
        expected = torch.log_softmax(alone.double(), 1)[0]
        np.testing.assert_allclose(logits, expected.numpy(), atol=2e-6)


def test_the_vote_is_the_weighted_mean_of_calibrated_probabilities(folder: Path):
    members = (member(0, temperature=2.0), member(1, temperature=0.5), member(2, "input.image_px=48"))
    found, _ = predict(Voters(members, (0.5, 0.2, 0.3)), folder)
    alone = [predict(Voters((one,), (1.0,)), folder)[0].probabilities() for one in members]
    expected = 0.5 * alone[0] + 0.2 * alone[1] + 0.3 * alone[2]
    np.testing.assert_allclose(found.probabilities(), expected, atol=1e-6)
    cold = member(1)._replace(card=member(1).card)
    plain = predict(Voters((cold,), (1.0,)), folder)[0]
    np.testing.assert_allclose(alone[1], plain.probabilities(0.5), atol=1e-6)  # T = 0.5 is sharper


def test_views_are_averaged_when_asked_for(folder: Path):
    voters = Voters((member(0),), (1.0,))
    flipped, _ = predict(voters, folder, tta=TtaOptions(flips=("horizontal",)))
    plain, _ = predict(voters, folder)
    way = voters.card.preparation
    mirror = torch.stack([way.square(folder / name).flip(2) for name in plain.names])
    mirrored = voters.vote({way: mirror}, PLAIN).probabilities
    np.testing.assert_allclose(flipped.probabilities(), (plain.probabilities() + mirrored) / 2, atol=1e-6)
    assert np.abs(flipped.probabilities() - plain.probabilities()).max() > 1e-4


@pytest.mark.parametrize("threshold", ["half", "per_class", "regressed"])
def test_several_labels_are_decided_by_thresholds(folder: Path, threshold: str):
    settings = (f"model.head={{type: multi_label, threshold: {threshold}}}",)
    limits = {"thresholds": (-0.1, 0.05, 0.2)} if threshold == "per_class" else {}
    one = member(0, *settings, temperature=1.7, **limits)
    found, _ = predict(Voters((one,), (1.0,)), folder)
    way = one.card.preparation
    squares = torch.stack([way.square(folder / name) for name in found.names])
    with torch.inference_mode():
        logits, limit = member_logits(one, squares, PLAIN)
    assert limit.shape == ((7, 1) if threshold == "regressed" else (3,))
    np.testing.assert_array_equal(found.decisions(), (logits > limit).numpy())
    np.testing.assert_allclose(found.probabilities(), torch.sigmoid(logits / 1.7).numpy(), atol=1e-5)
    twice, _ = predict(Voters((one, one), (0.4, 0.6)), folder)
    np.testing.assert_array_equal(twice.decisions(), found.decisions())


def test_probabilities_survive_as_logits():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(4, 0.2), 50)
    shares[0] = (1.0, 0.0, 0.0, 0.0)
    single = Predictions(tuple(map(str, range(50))), tuple("abcd"), as_logits(shares, multi_label=False))
    np.testing.assert_allclose(single.probabilities(), shares, atol=1e-6)
    several = Predictions(single.names, single.classes, as_logits(shares, multi_label=True), multi_label=True)
    np.testing.assert_allclose(several.probabilities(), shares, atol=1e-6)


def test_memory_stays_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """However many images there are, only a window of them is asked for ahead of the batches."""
    asked = 0

    def many() -> Iterator[ImageFile]:
        nonlocal asked
        for i in range(10_000):
            asked += 1
            yield ImageFile(f"{i}", folder / "b.png")

    batches = predict_batches(Voters((member(0),), (1.0,)), many(), Unreadable(), batch_size=4)
    for number in range(1, 4):
        assert len(next(batches)) == 4
        assert asked <= 4 * number + 8
    del batches  # the threads end


def test_none_readable_is_an_error_and_writes_nothing(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.png").write_text("no picture")
    unreadable = Unreadable()
    voters = Voters((member(0),), (1.0,))
    batches = predict_batches(voters, find_images(tmp_path), unreadable)
    with pytest.raises(BadInput, match=r"none of 2 images could be read; the first: .*a\.jpg.*0 bytes"):
        write_csv(tmp_path / "out.csv", batches, lambda: unreadable.names)
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="holds no images"):
        find_images(tmp_path / "none")
    with pytest.raises(BadInput, match="no such file or folder"):
        find_images(tmp_path / "nowhere")


def logits_of(shares: list[list[float]], multi_label: bool) -> Predictions:
    names = tuple(f"images/{i}, really.jpg" for i in range(len(shares)))
    return Predictions(names, CLASSES, as_logits(np.array(shares), multi_label), multi_label=multi_label)


def test_csv_has_a_line_an_image(tmp_path: Path):
    batches = [logits_of([[0.7, 0.2, 0.1]], False), logits_of([[0.25, 0.5, 0.25]], False)]
    assert write_csv(tmp_path / "p.csv", batches, lambda: ["broken.jpg"]) == 2
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["image", "label", "score", *CLASSES]
    assert rows[1] == ["images/0, really.jpg", "daisy", "0.7", "0.7", "0.2", "0.1"]
    assert rows[2][:3] == ["images/0, really.jpg", "tulip; red", "0.5"]
    assert rows[3] == ["broken.jpg", "", "", "", "", ""]


def test_json_and_csv_say_the_same_of_several_labels(tmp_path: Path):
    batch = logits_of([[0.9, 0.2, 0.6], [0.1, 0.2, 0.3]], True)
    write_json(tmp_path / "p.json", [batch], lambda: ["broken.jpg"])
    read = json.loads((tmp_path / "p.json").read_text())
    assert read["unreadable"] == ["broken.jpg"]
    assert [entry["labels"] for entry in read["images"]] == [["daisy", "rose"], []]
    assert [entry["score"] for entry in read["images"]] == pytest.approx(
        [0.6, 0.7]
    )  # none: 1 less the highest
    assert read["images"][0]["probabilities"] == pytest.approx({"daisy": 0.9, "tulip; red": 0.2, "rose": 0.6})
    write_csv(tmp_path / "p.csv", [batch], list)
    with (tmp_path / "p.csv").open(newline="") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["daisy;rose", ""]


def test_the_suffix_chooses_the_file():
    assert writer_for(Path("a.CSV")) is write_csv
    with pytest.raises(BadInput, match=r"\.xlsx"):
        writer_for(Path("a.xlsx"))


def test_voters_fit_each_other():
    with pytest.raises(ValueError, match="add up to 1"):
        Voters((member(0),), (0.5,))
    with pytest.raises(ValueError, match="2 weights for 1"):
        Voters((member(0),), (0.5, 0.5))
