"""A member on disk: what was written is what judges, and what is not whole is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from imcls.config import ImclsConfig
from imcls.member import CARD, WEIGHTS, MemberCard, card_of, load_member, members_of, read_card, write_member
from imcls.model.build import build_classifier
from suite.config import load_config
from suite.errors import BadInput

CLASSES = ("daisy", "tulip", "rose")
TINY = ("model.backbone={type: resnet9, width: 8}", "input.image_px=32")


def tiny(*settings: str) -> ImclsConfig:
    return load_config(ImclsConfig, overrides=[*TINY, *settings]).config


def written(folder: Path, *settings: str, seed: int = 0) -> MemberCard:
    torch.manual_seed(seed)
    config = tiny(*settings)
    model = build_classifier(config.model, len(CLASSES), image_px=32)
    return write_member(folder, model, card_of(model, config, CLASSES, fold=0, temperature=1.5))


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("model.neck={pooling: {type: gem}, bnneck: true, dropout: 0.2}", "model.head.type=cosine"),
        ("model.head={type: multi_label, threshold: regressed}",),
        ("model.backbone={type: timm, name: resnet10t, drop_path: 0.1}",),
    ],
)
def test_a_member_reads_back_as_it_was(tmp_path: Path, settings: tuple[str, ...]):
    torch.manual_seed(1)
    config = tiny(*settings)
    model = build_classifier(config.model, len(CLASSES), image_px=32)
    with torch.no_grad():
        model(torch.randn(8, 3, 32, 32))  # moves the statistics of the batch norms
    card = write_member(tmp_path, model, card_of(model, config, CLASSES, fold=2))
    images = torch.randn(4, 3, 32, 32)
    again, read = load_member(tmp_path)
    assert read == card
    assert (read.classes, read.fold, read.model) == (CLASSES, 2, config.model)
    assert read.versions["torch"] == torch.__version__.partition("+")[0]
    assert not again.training
    with torch.no_grad():
        expected = model.eval()(images)
        assert torch.equal(again(images).logits, expected.logits)
        if expected.thresholds is not None:
            assert torch.equal(again(images).thresholds, expected.thresholds)


def test_the_weights_it_started_from_may_be_gone(tmp_path: Path):
    """A card names the file that the backbone started from; reading needs it no more."""
    card = written(tmp_path)
    gone = card.model.backbone.model_copy(update={"weights": tmp_path / "gone.pth"})
    text = json.loads((tmp_path / CARD).read_text())
    text["model"] = card.model.model_copy(update={"backbone": gone}).model_dump(mode="json")
    (tmp_path / CARD).write_text(json.dumps(text))
    assert load_member(tmp_path).card.model.backbone.weights == tmp_path / "gone.pth"


def test_reading_a_card_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trap = tmp_path / "trap.py"
    trap.write_text("from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path / "member")
    text = json.loads((tmp_path / "member" / CARD).read_text())
    text["model"]["backbone"] = {"type": "custom", "target": "trap:Backbone"}
    (tmp_path / "member" / CARD).write_text(json.dumps(text))
    with pytest.raises(BadInput, match="allow_code"):
        load_member(tmp_path / "member")
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_training_are_refused(tmp_path: Path):
    written(tmp_path / "a", seed=0)
    written(tmp_path / "b", seed=1)
    (tmp_path / "a" / WEIGHTS).write_bytes((tmp_path / "b" / WEIGHTS).read_bytes())
    with pytest.raises(BadInput, match="not those that the card was written with"):
        load_member(tmp_path / "a")


def test_weights_of_another_model_are_refused(tmp_path: Path):
    """Also where somebody brought the hash of the card up to date."""
    written(tmp_path / "narrow")
    wide = written(tmp_path / "wide", "model.backbone.width=16")
    (tmp_path / "narrow" / WEIGHTS).write_bytes((tmp_path / "wide" / WEIGHTS).read_bytes())
    text = json.loads((tmp_path / "narrow" / CARD).read_text())
    (tmp_path / "narrow" / CARD).write_text(json.dumps(text | {"weights_sha256": wide.weights_sha256}))
    with pytest.raises(BadInput, match="another model") as refused:
        load_member(tmp_path / "narrow")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / CARD).unlink(), "no trained member"),
        (lambda folder: (folder / WEIGHTS).unlink(), "no model.safetensors beside the card"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"x" * 100), "not those that the card"),
        (lambda folder: (folder / CARD).write_text("{"), "EOF"),
        (lambda folder: (folder / CARD).write_bytes(b"\xff\xfe\x00"), "is not text"),
        (lambda folder: _change(folder, classes=["daisy", "daisy", "rose"]), "a class is listed twice"),
        (lambda folder: _change(folder, classes=["daisy"]), "classes: "),
        (lambda folder: _change(folder, image_px="64"), "image_px: "),
        (lambda folder: _change(folder, version=2), "version: "),
        (lambda folder: _change(folder, further=1), "further: "),
        (lambda folder: _change(folder, thresholds=[0.1]), "1 thresholds for 3 classes"),
        (lambda folder: _change(folder, std=[0.5, 0.0, 0.5]), "std must be above 0"),
        (lambda folder: _change(folder, temperature=0), "temperature: "),
    ],
)
def test_a_damaged_member_is_one_line(tmp_path: Path, damage, line: str):
    written(tmp_path)
    damage(tmp_path)
    with pytest.raises(BadInput) as refused:
        load_member(tmp_path)
    assert line in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def _change(folder: Path, **values: object) -> None:
    text = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(text | values))


def test_members_come_in_the_order_of_their_folds(tmp_path: Path):
    for fold in (10, 2, 0):
        card = tmp_path / "members" / f"fold-{fold}" / CARD
        card.parent.mkdir(parents=True)
        card.touch()
    assert [folder.name for folder in members_of(tmp_path)] == ["fold-0", "fold-2", "fold-10"]
    assert members_of(tmp_path / "members" / "fold-2") == (tmp_path / "members" / "fold-2",)
    with pytest.raises(BadInput, match="no such folder"):
        members_of(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="no trained members"):
        members_of(tmp_path / "members")


def test_the_mean_of_the_card_is_that_of_the_backbone(tmp_path: Path):
    card = written(tmp_path, "model.backbone={type: timm, name: mobilenetv2_100}")
    assert card.mean == (0.485, 0.456, 0.406)
    assert read_card(tmp_path).std == (0.229, 0.224, 0.225)
