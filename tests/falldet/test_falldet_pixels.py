"""A picture as the network takes it: its size, its colours, its place in a batch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from falldet.model.options import PixelOptions
from falldet.model.pixels import batched, normalised, scaled_size, to_input

SIDES = st.integers(1, 4000)
PLAIN = PixelOptions(long_px=96, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("size_px", "long_px", "short_px", "expected"),
    [
        ((480, 640), 1333, 800, (800, 1067)),  # 1066.67 is rounded up
        ((1080, 1920), 1333, 800, (750, 1333)),  # the long side stops it
        ((640, 480), 1333, 800, (1067, 800)),
        ((428, 640), 1333, 800, (800, 1196)),  # 1196.26
        ((720, 1280), 416, None, (234, 416)),
        ((500, 500), 416, None, (416, 416)),
        ((1, 4000), 416, None, (1, 416)),  # never less than a pixel
    ],
)
def test_sizes_are_those_of_mmdet(
    size_px: tuple[int, int], long_px: int, short_px: int | None, expected: tuple[int, int]
):
    assert scaled_size(size_px, PixelOptions(long_px=long_px, short_px=short_px)) == expected


@given(SIDES, SIDES)
def test_sizes_round_as_mmcv_does(height: int, width: int):
    geometric = pytest.importorskip("mmcv.image.geometric")
    options = PixelOptions(long_px=1333, short_px=800)
    theirs = geometric.rescale_size((width, height), (1333, 800))
    assert scaled_size((height, width), options) == (max(theirs[1], 1), max(theirs[0], 1))


@given(SIDES, SIDES, st.integers(32, 1400), st.integers(32, 1400))
def test_the_largest_size_that_fits_with_proportions_kept(height: int, width: int, one: int, two: int):
    long_px, short_px = max(one, two), min(one, two)
    size = scaled_size((height, width), PixelOptions(long_px=long_px, short_px=short_px))
    assert max(size) <= long_px and min(size) <= short_px
    assert max(size) == long_px or min(size) == short_px
    factor = min(long_px / max(height, width), short_px / min(height, width))
    for scaled, side in zip(size, (height, width), strict=True):
        assert scaled == 1 or abs(scaled - side * factor) <= 0.5 + 1e-6


def test_pixels_are_those_of_cv2_in_the_order_asked_for():
    rgb = np.random.default_rng(0).integers(0, 256, (50, 120, 3)).astype(np.uint8)
    scaled = cv2.resize(rgb, (96, 40), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    mean, std = np.array([100, 110, 120], np.float32), np.array([50, 60, 70], np.float32)
    rgb_options = PixelOptions(long_px=96, mean=(100, 110, 120), std=(50, 60, 70))
    bgr_options = rgb_options.model_copy(update={"order": "bgr"})
    for options, channels in ((rgb_options, [0, 1, 2]), (bgr_options, [2, 1, 0])):
        found = to_input(rgb, options)
        assert found.size_px == (40, 96)
        assert found.scale_xy == (0.8, 0.8)
        expected = (scaled[..., channels] - mean) / std
        np.testing.assert_allclose(found.pixels.permute(1, 2, 0), expected, atol=1e-6)


def test_normalising_leaves_the_picture_as_it_was():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    before = rgb.copy()
    normalised(rgb, PixelOptions())
    np.testing.assert_array_equal(rgb, before)
    many = normalised(np.stack([rgb, 255 - rgb]), PLAIN)
    assert many.shape == (2, 3, 4, 6)
    torch.testing.assert_close(many[0] + many[1], torch.full((3, 4, 6), 255.0))
    mirrored = rgb[:, ::-1]  # a view with negative strides, which torch does not take
    torch.testing.assert_close(normalised(mirrored, PLAIN), normalised(rgb, PLAIN).flip(-1))


def test_a_batch_is_padded_with_zeros_at_the_right_and_the_bottom():
    shapes = [(96, 40), (30, 70), (96, 96)]
    inputs = [to_input(np.full((h, w, 3), 9, np.uint8), PLAIN) for h, w in shapes]
    images, sizes = batched(inputs, 32)
    assert images.shape == (3, 3, 96, 96)
    assert sizes == [(96, 40), (41, 96), (96, 96)]
    for image, (height, width) in zip(images, sizes, strict=True):
        assert (image[:, :height, :width] == 9).all()
        assert image.sum() == 9 * 3 * height * width  # nothing elsewhere
    assert batched(inputs[1:2], 32)[0].shape == (1, 3, 64, 96)
    assert batched(inputs[1:2], 1)[0].shape == (1, 3, 41, 96)
