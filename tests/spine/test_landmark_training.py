"""Training: the pairs are true, the trained network is the one that is used, and it learns."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from click.testing import CliRunner
from landmark_scans import random_weights

from spine import landmark_training as training
from spine.anchors import FEATURES
from spine.landmark_model import load_landmark_model
from spine.spinous_line import COLUMNS, ROWS_U, TRUNK_MM, LineModel, chord, find_line
from spine.synthetic import simulate_subject
from suite.cli import entry

INSIDE = (ROWS_U >= 0) & (ROWS_U <= 1)


def smooth_backs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Furrows (n, 84, 81) along smooth lines (n, 84): easy to learn."""
    rng = np.random.default_rng(seed)
    waves = np.stack([np.sin(np.pi * k * ROWS_U) for k in (1, 2, 3)])
    lines = (rng.normal(size=(n, 3)) * [9, 6, 3]) @ waves
    offset = COLUMNS - lines[:, :, None]
    backs = -(offset**2) / 400 - 8 * np.exp(-0.5 * (offset / 12) ** 2) + rng.normal(size=(n, 1, 1)) * 20
    return backs.astype(np.float32), lines.astype(np.float32)


def rms(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.sqrt(((found - true)[..., INSIDE] ** 2).mean()))


def test_the_line_of_a_pair_is_the_true_one(monkeypatch):
    subject = simulate_subject(3)
    for sd in ({"vp": (0.0, 0.0), "base": (0.0, 0.0)}, training.LANDMARK_SD_MM):
        monkeypatch.setattr(training, "LANDMARK_SD_MM", sd)
        back, line = training.training_pair(subject, np.random.default_rng(5))
        assert back.shape == (84, 81) and back.dtype == np.float32 and np.isfinite(back).all()
        rng = np.random.default_rng(5)
        vp = subject.vp_mm[:2] + rng.normal(size=2) * sd["vp"]
        base = subject.base_mm[:2] + rng.normal(size=2) * sd["base"]
        height = vp[1] - base[1]
        x = chord(ROWS_U, vp, base) + line * height / TRUNK_MM
        y = base[1] + ROWS_U * height
        on = (y >= subject.line_mm[0, 1]) & (y <= subject.line_mm[-1, 1])
        assert on.sum() > 60
        assert np.allclose(x[on], np.interp(y[on], *subject.line_mm[:, [1, 0]].T), atol=1e-9)


def test_the_map_of_a_pair_is_turned_by_a_small_yaw(monkeypatch):
    subject = simulate_subject(3)
    monkeypatch.setattr(training, "LANDMARK_SD_MM", {"vp": (0.0, 0.0), "base": (0.0, 0.0)})
    backs = []
    for yaw in (0.0, 4.0):
        monkeypatch.setattr(training, "YAW_SD_DEG", yaw)
        backs.append(training.training_pair(subject, np.random.default_rng(8))[0])
    slope = np.polyfit(COLUMNS[20:-20], (backs[1] - backs[0])[40, 20:-20], 1)[0]
    drawn = np.random.default_rng(8).normal(size=5)[4]
    assert abs(slope) == pytest.approx(abs(np.tan(np.radians(4.0 * drawn))), rel=0.05)


def test_people_are_the_same_for_the_same_seeds():
    backs, lines = training.training_set(range(11, 14))
    again = training.training_set(range(12, 13))
    assert backs.shape == (3, 84, 81) and lines.shape == (3, 84) and lines.dtype == np.float32
    assert np.array_equal(backs[1], again[0][0]) and np.array_equal(lines[1], again[1][0])
    assert np.abs(lines).max() > 2


def test_the_expected_error_is_that_of_the_mean_line():
    backs, lines = smooth_backs(4)
    model = LineModel(tuple(random_weights(np.random.default_rng(k)) for k in range(2)), np.ones(84))
    error = training.expected_error(model, backs, lines)
    found = np.stack([find_line(back, model).mean(0) for back in backs])
    assert error.shape == (84,) and np.sqrt((error[INSIDE] ** 2).mean()) == pytest.approx(rms(found, lines))


def test_heights_are_learned_from_scans():
    vp, base = training.end_models(range(900, 916), held_out=6)
    again, _ = training.end_models(range(900, 916), held_out=6)
    assert vp.support.shape == base.support.shape == (10 * training.CUTS, FEATURES)
    assert np.array_equal(vp.weights, again.weights)
    assert 15 < vp.offset_mm < 70 and 25 < base.offset_mm < 80  # the mean over scans that end at random
    assert vp.sigma_mm < 20 and base.sigma_mm < 30


def test_without_pytorch_the_command_says_so_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    monkeypatch.setattr(training, "training_set", lambda seeds: pytest.fail("it simulated people first"))
    monkeypatch.setattr(sys, "argv", ["landmark_training", "--out", str(tmp_path / "m.safetensors")])
    with pytest.raises(SystemExit) as left:
        entry(training.main)()
    said = capsys.readouterr().err.strip()
    assert left.value.code == 3 and said.count("\n") == 0 and "vision-suite[train]" in said


def test_too_few_people_or_steps_are_refused(tmp_path):
    for option in (["--people", "3"], ["--steps", "5"], ["--members", "0"]):
        done = CliRunner().invoke(training.main, ["--out", str(tmp_path / "m"), *option])
        assert done.exit_code == 2 and option[0] in done.output


def test_numpy_and_pytorch_agree():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    from spine.spinous_line import STEP_SCALE, STEP_SHARE, STEPS

    torch.manual_seed(0)
    net = training.network().eval()
    weights = {key: value.numpy() for key, value in net.state_dict().items()}
    model = LineModel((weights,), np.ones(84))
    backs, _ = smooth_backs(3)
    backs = backs + np.random.default_rng(1).normal(size=backs.shape).astype(np.float32)
    for scale in (1.0, 12.0):  # the second leaves the map
        wide = {key: value * scale if key.startswith("leave") else value for key, value in weights.items()}
        net.load_state_dict({key: torch.tensor(value) for key, value in wide.items()})
        model = LineModel((wide,), np.ones(84))
        x = torch.zeros(3, 84)
        with torch.no_grad():
            for _ in range(STEPS):
                x = x + STEP_SHARE * training.step(net, torch.tensor(backs), x)
        found = np.stack([find_line(back, model)[0] for back in backs])
        assert np.abs(found).max() > 0.1 * STEP_SCALE * scale**0.5
        assert np.allclose(found, x.numpy(), atol=1e-3 * max(1.0, np.abs(found).max() / 20))


def test_a_step_is_odd():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    torch.manual_seed(1)
    net = training.network().eval()
    back, line = (torch.tensor(values) for values in smooth_backs(2))
    x = line + 80 * torch.randn(2, 1)  # part of the strip beyond the map
    with torch.no_grad():
        assert torch.allclose(training.step(net, back, x), -training.step(net, back.flip(2), -x), atol=1e-4)


def test_training_learns():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    backs, lines = smooth_backs(48)
    others, true = smooth_backs(12, seed=9)
    before, after = (
        training.train(backs, lines, seed=0, steps=steps, batch=16, learning_rate=rate)
        for steps, rate in ((20, 1e-6), (80, 3e-3))
    )
    found = [
        np.stack([find_line(back, LineModel((w,), np.ones(84)))[0] for back in others])
        for w in (before, after)
    ]
    assert rms(found[1], true) < 0.6 * rms(found[0], true)
    assert rms(found[1], true) < 0.6 * rms(np.zeros_like(true), true)
    same = training.train(backs, lines, seed=0, steps=80, batch=16)
    assert all(np.allclose(after[key], same[key], atol=1e-5) for key in after)
    finer = training.train(backs, lines, seed=1, steps=20, batch=16, learning_rate=1e-7, start=after)
    assert all(np.allclose(after[key], finer[key], atol=1e-4) for key in after)


def test_the_command_writes_a_model_that_can_be_used(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    monkeypatch.setattr(training, "HELD_OUT", 5)
    path = tmp_path / "own.safetensors"
    options = ["--people", "20", "--members", "2", "--steps", "20"]
    done = CliRunner().invoke(training.main, ["--out", str(path), *options])
    assert done.exit_code == 0, done.output
    assert "on 5 simulated backs held out" in done.output
    model = load_landmark_model(str(path))
    assert len(model.line.members) == 2 and "--people 20 --members 2 --steps 20" in model.provenance
    assert (model.line.sigma_mm > 0).all()
