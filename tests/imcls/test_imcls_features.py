"""Features on disk: computed once, taken up again where they stopped, and another file for anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from imcls.config import ImclsConfig
from imcls.data.cache import ImageCache, open_cache
from imcls.data.table import ImageTable
from imcls.frozen import features as module
from imcls.frozen.features import View, features, views_of
from imcls.frozen.fused import fused
from imcls.frozen.options import ProbeOptions
from imcls.frozen.probe import frozen_config, probe_run
from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier
from suite.data.images import write_image
from suite.errors import SuiteError

COUNT = 24


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> ImageTable:
    """Real images: digits of two classes, 32 x 32."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    images, labels = load_digits(n_class=2, return_X_y=True)
    paths = []
    for i in range(COUNT):
        grey = np.kron(images[i].reshape(8, 8) * 15.9, np.ones((4, 4))).astype(np.uint8)
        paths.append(folder / f"{i}.png")
        write_image(paths[-1], np.repeat(grey[..., None], 3, axis=2))
    names = tuple(path.name for path in paths)
    return ImageTable(names, tuple(paths), labels[:COUNT].astype(np.int64), ("zero", "one"))


@pytest.fixture(scope="module")
def cache(table: ImageTable) -> ImageCache:
    return open_cache(table, None, 32)


@pytest.fixture(scope="module")
def config() -> ImclsConfig:
    return ImclsConfig.model_validate(
        {
            "input": {"image_px": 32, "crop_share": 1.0},
            "model": {"backbone": {"type": "resnet9", "width": 8}},
            "data": {"split": {"folds": 3, "use": "all"}},
        }
    )


@pytest.fixture(scope="module")
def model(config: ImclsConfig) -> Classifier:
    torch.manual_seed(0)
    made = build_classifier(config.model, 2, image_px=32).requires_grad_(False)
    for part in made.modules():  # statistics of a trained model, so that folding them is no identity
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return made.eval()


def test_features_are_those_of_the_model(model, cache, table, config):
    images = torch.from_numpy(np.array(cache.uniform)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.mean, model.std))
    with torch.inference_mode():
        plain, mirrored = (model.features((x - mean) / std) for x in (images, images.flip(-1)))
    found = features(model, cache, table, config, None, [View(), View(mirrored=True)])
    np.testing.assert_allclose(found[0], plain.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], mirrored.numpy(), rtol=1e-3, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_the_second_time_nothing_is_computed(model, cache, table, config, tmp_path, monkeypatch):
    first = np.array(features(model, cache, table, config, tmp_path)[0])
    monkeypatch.setattr(module, "eval_batches", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(features(model, cache, table, config, tmp_path)[0], first)


def test_other_weights_sizes_and_images_get_files_of_their_own(model, cache, table, config, tmp_path):
    features(model, cache, table, config, tmp_path)
    torch.manual_seed(1)
    features(build_classifier(config.model, 2, image_px=32), cache, table, config, tmp_path)
    smaller = config.model_copy(update={"input": config.input.model_copy(update={"image_px": 24})})
    features(model, cache, table, smaller, tmp_path)
    features(model, cache, table, config, tmp_path, [View(scale=1.25)])
    part = table.subset(np.arange(5))
    features(model, open_cache(part, None, 32), part, config, tmp_path)
    assert len(list(tmp_path.glob("features-*.npy"))) == 5
    assert not list(tmp_path.glob("*.part"))


def test_a_killed_run_goes_on_where_it_was(model, cache, table, config, tmp_path, monkeypatch):
    whole = features(model, cache, table, config, None)[0]
    real, asked = module.eval_batches, []

    def dies(cache, indices, *rest):
        for number, batch in enumerate(real(cache, indices, *rest)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(module, "eval_batches", dies)
    with pytest.raises(KeyboardInterrupt):
        features(model, cache, table, config, tmp_path)
    assert not list(tmp_path.glob("*.npy"))

    def counted(cache, indices, *rest):
        asked.extend(indices)
        return real(cache, indices, *rest)

    monkeypatch.setattr(module, "eval_batches", counted)
    np.testing.assert_array_equal(features(model, cache, table, config, tmp_path)[0], whole)
    assert asked == list(range(12, COUNT))  # three batches of four were there


def test_broken_weights_are_said(model, cache, table, config, tmp_path):
    broken = build_classifier(config.model, 2, image_px=32)
    next(broken.parameters()).data[:] = float("nan")
    with pytest.raises(SuiteError, match="not finite"):
        features(broken, cache, table, config, tmp_path)
    assert not list(tmp_path.glob("*.npy"))


def test_views_are_all_scales_and_sides():
    assert views_of(ProbeOptions()) == (View(),)
    both = views_of(ProbeOptions(mirrored=True, scales=(1.0, 1.25)))
    assert both == (View(), View(True), View(False, 1.25), View(True, 1.25))


class Reused(nn.Module):
    """The norm is named after the second convolution but applied to the first: the order misleads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.running_mean, 1, 2)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.norm(self.first(x)).relu())


def test_a_wrong_guess_at_what_to_fold_is_taken_back(model):
    x = torch.rand(2, 3, 32, 32)
    reused = Reused().eval()
    assert fused(reused, x) is reused
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    nn.init.uniform_(net[1].running_mean, 1, 2)  # type: ignore[arg-type]
    net[1].eval()
    folded = fused(net, x)
    assert folded is not net
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    torch.testing.assert_close(folded(x), net.eval()(x), rtol=1e-4, atol=1e-4)


def test_a_probe_run_is_a_classifier(cache, table, config, tmp_path):
    folds = np.arange(COUNT) % 3
    torch.manual_seed(0)
    result = probe_run(config, table, cache, folds, tmp_path)
    assert result.predictions.names == table.names
    assert (result.predictions.decisions() == table.labels).mean() > 0.9
    assert frozen_config(config, False).model == result.config.model
    images = torch.from_numpy(np.array(cache.uniform)).permute(0, 3, 1, 2).float() / 255
    for fold in range(3):
        whole = result.member(fold)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (whole.mean, whole.std))
        with torch.inference_mode():
            logits = whole((images - mean) / std).logits.numpy()
        np.testing.assert_allclose(
            logits[folds == fold], result.predictions.logits[folds == fold], rtol=1e-2, atol=1e-2
        )


def test_only_the_folds_that_are_used_are_judged(cache, table, config, tmp_path):
    split = config.data.split.model_copy(update={"use": (1,)})
    one = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
    result = probe_run(one, table, cache, np.arange(COUNT) % 3, tmp_path)
    assert result.predictions.names == table.names[1::3]
    assert set(result.models) == {1}
