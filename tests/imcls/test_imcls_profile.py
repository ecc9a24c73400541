"""Sizes that can be counted by hand, and latencies that stand in the right order."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from imcls.model.profile import FEWEST, multiply_adds, pass_times_s, peak_tensor_bytes, profile


def small(channels: int = 8) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(channels, 4, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(4 * 16 * 16, 5),
    )


def test_counts_by_hand(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 12_500)
    model = small()
    model[0].requires_grad_(False)
    figures = {
        f.key: f
        for f in profile(
            model, 16, weights=tmp_path / "model.safetensors", seconds=0.0, batch_size=4, threads=1
        )
    }
    parameters = 27 * 8 + 8 * 4 + 4 * 2 + 4 * 256 * 5 + 5
    assert figures["parameters_m"].value == pytest.approx(parameters / 1e6)
    assert figures["parameters_m"].note == f"{(parameters - 216) / 1e6:.3g} M of them trainable"
    assert figures["file_mb"].value == 0.0125
    assert figures["multiply_adds_g"].value == pytest.approx((256 * (27 * 8 + 8 * 4) + 4 * 256 * 5) / 1e9)
    assert figures["latency_ms"].value <= figures["latency_p95_ms"].value
    assert figures["images_per_s"].value == pytest.approx(1000 / figures["latency_batch_ms"].value)
    assert "1 thread" in figures["latency_ms"].note and f"{FEWEST} passes" in figures["latency_ms"].note
    assert figures["latency_batch_ms"].note.startswith("an image in batches of 4")


def test_peak_is_the_largest_sum_alive_at_once():
    images = torch.zeros(1, 3, 16, 16)
    narrow = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 2, 1))
    assert peak_tensor_bytes(narrow, images) == 4 * 256 * (8 + 2)
    # Written in place: nothing new; a view neither.
    in_place = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_tensor_bytes(in_place, images) == 4 * 256 * 8
    # What is kept for later stays alive.
    kept = nn.Conv2d(3, 8, 3, padding=1)
    steps = [kept, nn.ReLU(), nn.ReLU()]

    class Skip(nn.Module):
        def forward(self, x):
            first = steps[0](x)
            return first + steps[2](steps[1](first))

    assert peak_tensor_bytes(Skip(), images) == 4 * 256 * 8 * 3


def test_multiply_adds_count_attention_too():
    def attend(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)

    class Attention(nn.Module):
        def forward(self, x):
            return attend(x)

    assert multiply_adds(Attention(), torch.randn(1, 2, 7, 5)) == 2 * 2 * 7 * 7 * 5


def test_passes_fill_the_time_and_no_less_than_the_fewest(monkeypatch: pytest.MonkeyPatch):
    ticks = count()
    monkeypatch.setattr("imcls.model.profile.time.perf_counter", lambda: next(ticks) / 256)
    model, images = small().eval(), torch.zeros(1, 3, 16, 16)
    assert len(pass_times_s(model, images, 0.0)) == FEWEST
    assert len(pass_times_s(model, images, 15.5 / 256)) == 16


def test_a_larger_image_takes_longer_and_everything_is_put_back():
    model = small(16)[:4].train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small_ms, large_ms = (
            {f.key: f for f in profile(model, px, seconds=0.01, batch_size=1, threads=1)}["latency_ms"].value
            for px in (16, 256)
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert large_ms > 2 * small_ms
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was changed"
