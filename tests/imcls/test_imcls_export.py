"""ONNX with its preprocessing: it agrees on real files, or nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from imcls.config import ImclsConfig, TtaOptions
from imcls.data.resize import resized
from imcls.member import Member, MemberCard, Preparation, card_of
from imcls.model.build import build_classifier
from imcls.onnx import export as exporting
from imcls.onnx import run_onnx
from imcls.onnx.export import TEMPLATE, Disagreement, export
from imcls.onnx.graph import open_onnx
from imcls.onnx.graph import run_onnx as run_graph
from imcls.voting.vote import Voters
from suite.config import load_config
from suite.errors import BadInput

CLASSES = ("daisy", "tulip", "rose")
TINY = ("model.backbone={type: resnet9, width: 8}", "input.image_px=32")


def voters(*settings: str, members: int = 1, **card: object) -> Voters:
    config = load_config(ImclsConfig, overrides=[*TINY, *settings]).config
    found = []
    for seed in range(members):
        torch.manual_seed(seed)
        model = build_classifier(config.model, len(CLASSES), image_px=32).eval()
        made = card_of(model, config, CLASSES, temperature=1 + seed / 2)
        found.append(Member(model, MemberCard.model_validate(made.model_dump() | card)))
    weights = np.arange(1, members + 1) / np.arange(1, members + 1).sum()
    return Voters(tuple(found), tuple(weights.tolist()))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pieces of scikit-learn's two photographs, of odd sizes, as JPEG and PNG, some turned by EXIF."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    rng = np.random.default_rng(0)
    for i in range(8):
        picture = Image.fromarray(load_sample_images().images[i % 2])
        left, top = rng.integers(0, 200, 2).tolist()
        piece = picture.crop((left, top, left + 101 + 37 * i, top + 203 - 13 * i))
        exif = Image.Exif()
        exif[0x0112] = i + 1  # all eight ways of lying
        paths.append(folder / f"{i}.{'jpg' if i % 4 else 'png'}")
        piece.save(paths[-1], exif=exif)
    return paths


@pytest.fixture(scope="module")
def exported(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Voters]:
    folder = tmp_path_factory.mktemp("export") / "onnx"
    judges = voters(members=2)
    agreement = export(judges, folder, photos)
    assert agreement.agrees
    assert agreement.images == 12
    return folder, judges


def test_the_folder_is_complete_and_says_how_well_it_agrees(exported: tuple[Path, Voters]):
    folder, _ = exported
    assert sorted(path.name for path in folder.iterdir()) == [
        "labels.txt",
        "model.onnx",
        "preprocess.json",
        "run_onnx.py",
    ]
    settings = json.loads((folder / "preprocess.json").read_text())
    assert settings["input"] == {
        "name": "images",
        "shape": ["n", 3, 32, 32],
        "type": "uint8",
        "channels": "RGB",
    }
    assert settings["verified"]["largest_pixel_difference"] == 0
    assert settings["verified"]["largest_logit_difference"] < 1e-3 * settings["verified"]["logit_spread"]
    assert (folder / "labels.txt").read_text() == "daisy\ntulip\nrose\n"
    assert (folder / "run_onnx.py").read_bytes() == TEMPLATE.read_bytes()


def test_the_graph_is_whole_and_tells_nothing_of_this_machine(exported: tuple[Path, Voters]):
    folder, _ = exported
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 18
    content = (folder / "model.onnx").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"stack_trace" not in content


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_graph_takes_any_batch(exported: tuple[Path, Voters], batch: int):
    folder, judges = exported
    images = np.random.default_rng(batch).integers(0, 256, (batch, 3, 32, 32), dtype=np.uint8)
    outputs = run_graph(open_onnx(folder / "model.onnx", threads=1), images)
    votes = judges.vote({judges.card.preparation: torch.from_numpy(images)}, TtaOptions())
    np.testing.assert_allclose(outputs["probabilities"], votes.probabilities, atol=1e-6)
    np.testing.assert_allclose(np.exp(outputs["logits"]).sum(axis=1), 1.0, atol=1e-5)


def test_the_script_stands_alone(exported: tuple[Path, Voters], photos: list[Path], tmp_path: Path):
    """In a process of its own that can not import torch or this project, from another folder."""
    folder, judges = exported
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    code = f"""
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "imcls", "suite", "scipy"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.argv[0] = {str(folder / "run_onnx.py")!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    paths = [str(path) for path in photos[:3]]
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *paths, str(tmp_path / "broken.jpg")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "broken.jpg: cannot be read" in done.stderr
    way = judges.card.preparation
    squares = torch.stack([way.square(path) for path in photos[:3]])
    shares = judges.vote({way: squares}, TtaOptions()).probabilities
    expected = [
        f"{path}: {CLASSES[row.argmax()]} {row.max():.4f}" for path, row in zip(paths, shares, strict=True)
    ]
    assert done.stdout.splitlines() == expected


def test_several_labels_bring_their_thresholds(photos: list[Path], tmp_path: Path):
    """One member has thresholds found for each class, the other regresses one for each image."""
    (found,) = voters(
        "model.head={type: multi_label, threshold: per_class}", thresholds=(-0.1, 0.05, 0.2)
    ).members
    (regressing,) = voters("model.head={type: multi_label, threshold: regressed}").members
    judges = Voters((found, regressing), (0.3, 0.7))
    export(judges, tmp_path / "onnx", photos)
    settings = run_onnx.read_settings(tmp_path / "onnx")
    squares = [run_onnx.square(path, settings) for path in photos]
    outputs = run_onnx.judge(open_onnx(tmp_path / "onnx" / "model.onnx"), squares)
    votes = judges.vote({judges.card.preparation: torch.from_numpy(np.stack(squares))}, TtaOptions())
    assert votes.thresholds is not None
    chosen = [{name for name, _ in labels} for labels in run_onnx.labels_of(outputs, settings)]
    yes = votes.probabilities > votes.thresholds
    assert chosen == [{CLASSES[i] for i in np.flatnonzero(row)} for row in yes]


FLAWS = {
    "BGR": ('np.asarray(image.convert("RGB"))', 'np.asarray(image.convert("RGB"))[..., ::-1]'),
    "EXIF forgotten": ("ImageOps.exif_transpose(opened)", "opened.copy()"),
    "no antialiasing": ("reach = max(step, 1.0)", "reach = 1.0"),
    "another crop": ('settings["crop_share"] * min', "0.8 * min"),
    "transparency ignored": ("alpha = rgba[..., 3:] / 255.0", "alpha = 1.0"),
    "straight to the end": ("if min(height, width) > short_px:", "if False:"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_planted_disagreement_is_refused(
    exported: tuple[Path, Voters],
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flaw: str,
):
    """The script is changed as careless people write it; the graph is right."""
    folder, judges = exported
    right, wrong = FLAWS[flaw]
    text = TEMPLATE.read_text()
    assert right in text
    (tmp_path / "flawed.py").write_text(text.replace(right, wrong))
    monkeypatch.setattr(exporting, "TEMPLATE", tmp_path / "flawed.py")
    monkeypatch.setattr(
        exporting, "write_onnx", lambda path, _: path.write_bytes((folder / "model.onnx").read_bytes())
    )
    with pytest.raises(Disagreement, match="not exported") as refused:
        export(judges, tmp_path / "out", photos)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["flawed.py"]


def test_another_models_graph_is_refused(
    exported: tuple[Path, Voters], photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, judges = exported
    monkeypatch.setattr(
        exporting, "write_onnx", lambda path, _: path.write_bytes((folder / "model.onnx").read_bytes())
    )
    other = Voters(judges.members, judges.weights[::-1])
    with pytest.raises(Disagreement):
        export(other, tmp_path / "out", photos)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_and_a_folder_that_is_there_are_refused(photos: list[Path], tmp_path: Path):
    with pytest.raises(BadInput, match="7 images to compare on, 8 are wanted"):
        export(voters(), tmp_path / "out", photos[:7])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    with pytest.raises(BadInput, match="exists already"):
        export(voters(), tmp_path / "there", photos)


def test_members_that_see_different_images_are_told_apart(photos: list[Path], tmp_path: Path):
    one, other = voters().members[0], voters(fit="squash").members[0]
    with pytest.raises(BadInput, match="the members see different images"):
        export(Voters((one, other), (0.5, 0.5)), tmp_path / "out", photos)
    assert list(tmp_path.iterdir()) == []


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 99),
)
def test_the_scripts_resize_is_the_trainings_to_the_bit(
    size: tuple[int, int], to: tuple[int, int], seed: int
):
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(run_onnx.resize(rgb, *to), resized(rgb, *to))


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("short_px", [24, 41, 500])
def test_the_scripts_preparation_is_the_trainings_to_the_bit(photos: list[Path], fit: str, short_px: int):
    """24: small enough that JPEGs are shrunk while they are decoded; 500: none is."""
    settings = {"image_px": 32, "fit": fit, "crop_share": 0.9, "short_px": short_px, "border": 128}
    way = Preparation(32, fit, 0.9, short_px)  # type: ignore[arg-type]
    for path in photos:
        np.testing.assert_array_equal(run_onnx.square(path, settings), way.square(path).numpy())


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "LA", "RGBA", "I;16", "PA"])
def test_the_script_reads_every_kind_of_picture_alike(photos: list[Path], tmp_path: Path, mode: str):
    picture = Image.open(photos[1]).convert("RGB")
    if mode == "I;16":
        grey = np.asarray(picture.convert("L"), np.uint16) * 251
        picture = Image.fromarray(grey)
    elif mode == "PA":
        picture = picture.convert("P")
        picture.info["transparency"] = 3
    elif mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    picture.save(path)
    way = Preparation(32, "crop", 0.9, 64)
    settings = {"image_px": 32, "fit": "crop", "crop_share": 0.9, "short_px": 64, "border": 128}
    np.testing.assert_array_equal(run_onnx.square(path, settings), way.square(path).numpy())
