"""The model file: kept exactly, refused in one line where it is none."""

from __future__ import annotations

import os

import numpy as np
import pytest
from landmark_scans import random_model

from spine.anchors import FEATURES
from spine.landmark_model import LandmarkModel, load_landmark_model, save_landmark_model
from suite.errors import BadInput


def refused(path) -> str:
    with pytest.raises(BadInput) as caught:
        load_landmark_model(str(path))
    line = str(caught.value)
    assert "\n" not in line and "spine.landmark_training" in line
    return line


def same(a: LandmarkModel, b: LandmarkModel) -> bool:
    ends = [(getattr(a, n), getattr(b, n)) for n in ("vp", "base")]
    return (
        len(a.line.members) == len(b.line.members)
        and all(
            np.array_equal(x[key], y[key])
            for x, y in zip(a.line.members, b.line.members, strict=True)
            for key in x
        )
        and np.allclose(a.line.sigma_mm, b.line.sigma_mm, rtol=1e-6)
        and all(np.allclose(x.support, y.support, rtol=1e-6) for x, y in ends)
        and all(np.allclose(x.weights, y.weights, rtol=1e-6) for x, y in ends)
        and all(
            (x.width, x.offset_mm, x.sigma_mm) == pytest.approx((y.width, y.offset_mm, y.sigma_mm))
            for x, y in ends
        )
        and (a.name, a.provenance) == (b.name, b.provenance)
    )


def test_a_model_is_kept(tmp_path):
    model = random_model()
    save_landmark_model(tmp_path / "mine.safetensors", model)
    read = load_landmark_model(str(tmp_path / "mine.safetensors"))
    assert same(read, model) and not same(read, random_model(5))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]


def test_the_shipped_model_says_what_it_was_trained_on():
    model = load_landmark_model()
    assert model.name == "simulated" and "simulated backs only" in model.provenance
    assert len(model.line.members) >= 2 and model.vp.support.shape[1] == FEATURES
    assert 1 < np.sqrt((model.line.sigma_mm**2).mean()) < 5
    assert load_landmark_model() is model  # read once


def test_a_model_that_was_written_anew_is_read_anew(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_landmark_model(path, random_model(0))
    first = load_landmark_model(str(path))
    save_landmark_model(path, random_model(1))
    os.utime(path, ns=(1, 1))
    assert same(load_landmark_model(str(path)), random_model(1)) and not same(first, random_model(1))


def test_a_name_nobody_knows_and_a_folder_are_refused(tmp_path):
    assert "no such landmark model" in refused("real")
    assert "no such landmark model" in refused(tmp_path)
    assert "no such landmark model" in refused("")


def test_a_file_that_is_cut_off_or_another_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_landmark_model(path, random_model())
    whole = path.read_bytes()
    for n, bad in enumerate((whole[: len(whole) // 2], whole[:5], b"", b"{}", b"\x00" * 4000)):
        broken = tmp_path / f"broken-{n}.safetensors"
        broken.write_bytes(bad)
        assert "this is no landmark model" in refused(broken) and broken.name in refused(broken)


def changed(tmp_path, change, header=None):
    """A file with some of its arrays changed."""
    from safetensors.numpy import load, save_file

    path = tmp_path / "model.safetensors"
    save_landmark_model(path, random_model())
    tensors = load(path.read_bytes())
    change(tensors)
    save_file(tensors, path, {"name": "x"} if header is None else header)
    return path


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("vp.weights", None, "lacks 'vp.weights'"),
        ("line.sigma_mm", None, "lacks 'line.sigma_mm'"),
        ("line.1.leave.bias", None, "leave.bias"),
        ("line.0.enter.weight", np.zeros((8, 4, 1), np.float32), "enter.weight"),
        ("line.sigma_mm", np.zeros(84, np.float32), "positive"),
        ("base.width_offset_sigma_mm", np.ones(4, np.float32), "unpack"),
        ("vp.support", np.full((7, FEATURES), np.nan, np.float32), "finite"),
    ],
)
def test_a_file_with_other_arrays_is_refused(tmp_path, key, value, said):
    def change(tensors):
        del tensors[key]
        if value is not None:
            tensors[key] = value

    line = refused(changed(tmp_path, change))
    assert "this is no landmark model" in line and said in line


def test_features_that_do_not_fit_and_a_header_without_a_name_are_refused(tmp_path):
    def shorter(tensors):
        tensors["vp.support"] = np.zeros((7, FEATURES - 1), np.float32)

    assert f"{FEATURES - 1} features" in refused(changed(tmp_path, shorter))
    assert "lacks 'name'" in refused(changed(tmp_path, lambda tensors: None, {"by": "me"}))
