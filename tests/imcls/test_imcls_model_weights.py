"""Weights from elsewhere and our own, names without importing a library, export; refusals in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

import imcls.model.names as names_module
from imcls.model.build import build_backbone, build_classifier
from imcls.model.classifier import Classifier
from imcls.model.names import check_name, known_names, write_list
from imcls.model.options import (
    CbamResNet,
    Gem,
    ModelOptions,
    MultiLabelHead,
    NeckOptions,
    ResNet9,
    Timm,
    Torchvision,
)
from imcls.model.weights import load_weights, save_weights
from suite.errors import BadInput

TINY = ResNet9(width=8)


def said(caught: pytest.ExceptionInfo[BadInput]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def tiny_state() -> dict[str, Tensor]:
    """A state with its classifier, as another program would save it."""
    torch.manual_seed(5)
    net = build_backbone(TINY).net
    return {**net.state_dict(), "fc.weight": torch.randn(7, 32), "fc.bias": torch.zeros(7)}


WRAPPED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "plain": lambda s: s,
    "half": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
    "data parallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
    "lightning": lambda s: {"state_dict": {f"model.backbone.{k}": v for k, v in s.items()}},
    "nested": lambda s: {"model": {f"backbone.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
    "no counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("way", WRAPPED)
def test_state_dicts_are_found_in_whatever_they_are_wrapped(way: str, tmp_path: Path) -> None:
    state = tiny_state()
    torch.save(WRAPPED[way](state), tmp_path / "w.pth")
    net = build_backbone(ResNet9(width=8, weights=tmp_path / "w.pth")).net
    for name, tensor in net.state_dict().items():
        expected = state[name].half() if way == "half" and tensor.is_floating_point() else state[name]
        if not (way == "no counters" and name.endswith("num_batches_tracked")):
            assert torch.equal(tensor, expected.to(tensor.dtype)), name


def test_safetensors_and_our_own_classifiers_serve_as_starting_weights(tmp_path: Path) -> None:
    state = tiny_state()
    save_file(state, tmp_path / "w.safetensors")
    net = build_backbone(ResNet9(width=8, weights=tmp_path / "w.safetensors")).net
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    model = build_classifier(
        ModelOptions(backbone=TINY, neck=NeckOptions(bnneck=True, pooling=Gem())), 5, image_px=32
    )
    save_weights(tmp_path / "own.safetensors", model)
    again = build_backbone(ResNet9(width=8, weights=tmp_path / "own.safetensors"))
    for name, tensor in again.net.state_dict().items():
        assert torch.equal(tensor, model.backbone.net.state_dict()[name])


def test_cbam_takes_plain_and_its_own_weights(tmp_path: Path) -> None:
    plain = models.resnet18()
    torch.save(plain.state_dict(), tmp_path / "resnet18.pth")
    backbone = build_backbone(CbamResNet(depth=18, weights=tmp_path / "resnet18.pth"))
    assert torch.equal(
        backbone.net.get_parameter("layer3.1.conv2.weight"), plain.get_parameter("layer3.1.conv2.weight")
    )
    torch.save(backbone.net.state_dict(), tmp_path / "cbam.pth")
    again = build_backbone(CbamResNet(depth=18, weights=tmp_path / "cbam.pth"))
    for name, tensor in again.net.state_dict().items():
        assert torch.equal(tensor, backbone.net.state_dict()[name]), name


def test_position_embeddings_are_resized_to_the_images(tmp_path: Path) -> None:
    published = build_backbone(Timm(name="test_vit"), 160)
    torch.save(published.net.state_dict(), tmp_path / "vit.pth")
    smaller = build_backbone(Timm(name="test_vit", weights=tmp_path / "vit.pth"), 96)
    one, two = (net.get_parameter("blocks.0.attn.qkv.weight") for net in (smaller.net, published.net))
    assert torch.equal(one, two)
    assert smaller.net.get_parameter("pos_embed").shape[1] == 36 + 1


def refused(state: object, tmp_path: Path, backbone: ResNet9 | Torchvision = TINY) -> str:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput) as caught:
        build_backbone(backbone.model_copy(update={"weights": tmp_path / "w.pth"}), 32)
    text = said(caught)
    assert text.startswith(str(tmp_path / "w.pth"))
    return text


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = tiny_state()
    wrong = {**state, "stem.0.weight": torch.zeros(16, 3, 3, 3)}
    assert "stem.0.weight is 16x3x3x3 in the file, 8x3x3x3 here" in refused(wrong, tmp_path)
    lacking = refused({k: v for k, v in state.items() if k != "stage2.0.weight"}, tmp_path)
    assert "stage2.0.weight is missing" in lacking
    wanted = [name for name in state if not name.startswith("fc.") and not name.endswith("tracked")]
    assert f"fits {len(wanted) - 1} of the {len(wanted)} tensors of this backbone" in lacking
    assert "extra.weight has no place" in refused({**state, "extra.weight": torch.zeros(1)}, tmp_path)


def test_weights_of_another_architecture_are_refused_with_how_many_fit(tmp_path: Path) -> None:
    other = refused(models.resnet18().state_dict(), tmp_path)
    assert "is for another architecture: 0 of the" in other
    # Every tensor of a ResNet-18 has a place and shape in a ResNet-34: what is left over gives it away.
    deeper = refused(models.resnet34().state_dict(), tmp_path, Torchvision(name="resnet18"))
    assert "is for another architecture: 100 of the 100 tensors of this backbone fit, 80 of" in deeper


def test_files_that_hold_no_tensors_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return (eval, ("open('/dev/null').read()",))

    assert "cannot be read as a file of tensors" in refused(Evil(), tmp_path)
    assert "holds no tensors by name" in refused({"epoch": 3}, tmp_path)
    assert "holds no tensors by name" in refused([1, 2], tmp_path)
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(BadInput, match=name):
            build_backbone(ResNet9(width=8, weights=tmp_path / name))
    with pytest.raises(BadInput, match="there is no such file of weights"):
        build_backbone(ResNet9(width=8, weights=tmp_path / "nowhere.pth"))


def test_no_network_is_one_line_that_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError("Name or service not known\nand a page of advice")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    for backbone in (
        Timm(name="resnet18", weights="pretrained"),
        Torchvision(name="squeezenet1_1", weights="pretrained"),
        CbamResNet(depth=18, weights="pretrained"),
    ):
        with pytest.raises(BadInput) as caught:
            build_backbone(backbone, 64)
        assert said(caught).startswith("model.backbone.weights: the weights of ")
        assert "give a file of weights" in said(caught)
    with pytest.raises(BadInput, match="no published weights for resnet9"):
        build_backbone(ResNet9(weights="pretrained"))


def nearest_centroid(backbone: Timm | Torchvision, folder: Path) -> float:
    """Share of 100 flowers whose nearest class mean over 100 others, by cosine, is their own."""
    model = build_classifier(ModelOptions(backbone=backbone), 5, image_px=96).eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in (model.mean, model.std))
    images, labels = [], []
    for label, kind in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for path in sorted(kind.glob("*.jpg"))[:40]:
            pixels = np.asarray(Image.open(path).convert("RGB").resize((96, 96)), np.float32) / 255
            images.append((torch.from_numpy(pixels).permute(2, 0, 1) - mean) / std)
            labels.append(label)
    with torch.no_grad():
        features = torch.cat([model.features(part) for part in torch.stack(images).split(50)])
    assert torch.isfinite(features).all()
    features = nn.functional.normalize(features - features.mean(0))
    truth = torch.tensor(labels)
    known, asked = torch.arange(len(truth)) % 2 == 0, torch.arange(len(truth)) % 2 == 1
    centroids = torch.stack([features[known & (truth == c)].mean(0) for c in range(5)])
    return float(((features[asked] @ centroids.T).argmax(1) == truth[asked]).float().mean())


def test_imagenet_weights_separate_flowers(data: Callable[[str], Path]) -> None:
    weights, flowers = data("imcls/weights"), data("imcls/flowers5")
    mobilenet = Timm(
        name="mobilenetv2_100",
        options={"pad_type": "same"},
        weights=weights / "mobilenetv2_100_same_in1k_from_coral_int8_fp16.pth",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    squeezenet = Torchvision(
        name="squeezenet1_0", weights=weights / "squeezenet1_0_deepcompressed_in1k_fp16.pth"
    )
    assert nearest_centroid(mobilenet, flowers) > 0.65  # 0.35 without the weights
    assert nearest_centroid(squeezenet, flowers) > 0.6  # 0.25 without
    wrong = Torchvision(name="squeezenet1_0", weights=mobilenet.weights)
    with pytest.raises(BadInput, match="is for another architecture: 0 of the 50"):
        build_backbone(wrong, 64)


def own(classes: int = 3, **options: object) -> Classifier:
    return build_classifier(ModelOptions(backbone=TINY, **options), classes, image_px=32)  # type: ignore[arg-type]


def test_a_classifier_comes_back_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = own(head=MultiLabelHead(threshold="regressed"), neck=NeckOptions(bnneck=True))
    model(torch.randn(4, 3, 32, 32))  # statistics that are not the initial ones
    path = tmp_path / "model.safetensors"
    save_weights(path, model, {"note": "a word"})
    torch.manual_seed(1)
    again = own(head=MultiLabelHead(threshold="regressed"), neck=NeckOptions(bnneck=True))
    header = load_weights(path, again)
    assert header["note"] == "a word"
    assert header["classes"] == "3"
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for one, two in zip(model.eval()(images), again.eval()(images), strict=True):
            assert torch.equal(one, two)


def test_weights_of_another_classifier_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, own())
    with pytest.raises(BadInput) as caught:
        load_weights(path, own(classes=4))
    assert "holds another model" in said(caught)
    assert "classes 3 in the file, 4 here" in said(caught)
    wide = build_classifier(ModelOptions(backbone=ResNet9(width=16)), 3, image_px=32)
    with pytest.raises(BadInput, match="backbone resnet9 8 in the file, resnet9 16 here"):
        load_weights(path, wide)
    save_file({**own().state_dict(), "more": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match="holds another model"):
        load_weights(path, own())
    path.write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(BadInput, match="is no safetensors file"):
        load_weights(path, own())
    with pytest.raises(BadInput, match="no such file"):
        load_weights(tmp_path / "gone", own())


def test_writing_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, own())
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError, SafetensorError)):
        save_weights(path, own(), {"note": 3})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_names_are_answered_without_importing_a_library() -> None:
    code = (
        "import sys\n"
        "from imcls.model.names import check_name, known_names\n"
        "from suite.errors import BadInput\n"
        "assert len(known_names('timm')) > 1000 and 'resnet18' in known_names('torchvision')\n"
        "check_name('timm', 'resnext101_32x8d.fb_wsl_ig1b_ft_in1k', 'w')\n"
        "try: check_name('timm', 'resnet5O', 'model.backbone.name')\n"
        "except BadInput as error: print(error)\n"
        "assert not {'timm', 'torch', 'torchvision'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == (
        "model.backbone.name: timm has no model 'resnet5O'; did you mean 'resnet50'?"
    )


@pytest.mark.parametrize(
    ("library", "name", "answer"),
    [
        ("timm", "resnesst50d", "did you mean 'resnest50d'"),
        ("timm", "EfficientNet-B0", "did you mean 'efficientnet_b0'"),
        ("timm", "resnet50.a1_in1", "resnet50 has no weights with the tag 'a1_in1'; did you mean 'a1_in1k'"),
        ("timm", "tf_efficientnet_b0_ns", "calls tf_efficientnet_b0_ns tf_efficientnet_b0.ns_jft_in1k now"),
        ("timm", "qqqqqqqq", "see timm's list of models"),
        ("torchvision", "mobilenetv2", "did you mean 'mobilenet_v2'"),
        ("torchvision", "resnet50.a1_in1k", "resnet50 has no weights with the tag"),
    ],
)
def test_unknown_names_are_answered_with_the_likely_one(library, name: str, answer: str) -> None:
    options = Timm(name=name) if library == "timm" else Torchvision(name=name)
    with pytest.raises(BadInput) as caught:
        build_backbone(options, 64)
    assert said(caught).startswith("model.backbone.name: ")
    assert answer in said(caught)


def test_the_list_is_that_of_the_installed_libraries(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    listed = json.loads(names_module.FILE.read_text())
    if listed["timm"]["version"] != timm.__version__:
        pytest.skip("another timm than the list was made for; `python -m imcls.model.names` makes it anew")
    write_list(tmp_path / "names.json")
    assert json.loads((tmp_path / "names.json").read_text())["timm"] == listed["timm"]
    assert set(known_names("timm")) == set(timm.list_models())


def test_a_newer_library_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(names_module.FILE.read_text())
    del listed["timm"]["models"]["resnet18"]
    monkeypatch.setattr(names_module, "_listed", lambda: listed)
    with pytest.raises(BadInput):
        check_name("timm", "resnet18", "w")
    listed["timm"]["version"] = "0.0.1"
    check_name("timm", "resnet18", "w")
    check_name("timm", "resnet18.a1_in1k", "w")
    with pytest.raises(BadInput):
        check_name("timm", "resnet18.nonsense", "w")


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(backbone=TINY, neck=NeckOptions(pooling=Gem(), bnneck=True)),
        ModelOptions(backbone=Timm(name="test_vit"), head=MultiLabelHead(threshold="regressed")),
    ],
    ids=["gem", "tokens"],
)
def test_a_classifier_can_be_exported(options: ModelOptions) -> None:
    model = build_classifier(options, 3, image_px=32).eval()
    images = torch.randn(2, 3, 32, 32)
    program = torch.export.export(model, (images,), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images).logits, model(images).logits)
