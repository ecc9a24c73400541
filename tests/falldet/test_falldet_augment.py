"""Pictures varied for training: what is in them moves with its box, and chance is a seed's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falldet.data.augment import PAD, Sample, augmented, erased, mosaic, placed, warped, with_camera_faults
from falldet.data.augment_options import AugmentOptions

STILL = AugmentOptions(
    scale=(1, 1), shift=0, rotate_deg=0, stretch=0, flip=0, mosaic=0, brightness=0, contrast=0,
    saturation=0, hue=0, grey=0, blur=0, noise=0, jpeg=0, erase=0,
)  # fmt: skip
MOVING = STILL.model_copy(update={"scale": (0.6, 1.5), "shift": 0.2, "stretch": 0.1, "flip": 0.5})
COLOURS = AugmentOptions(
    scale=(1, 1), shift=0, rotate_deg=0, stretch=0, flip=0, mosaic=0, erase=0,
    grey=0.5, blur=0.5, noise=0.5, jpeg=0.5,
)  # fmt: skip
SEEDS = st.integers(0, 10_000)
CANVAS = 128


def with_rectangle(box: tuple[int, int, int, int], height: int = 90, width: int = 120) -> Sample:
    """White on black."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[box[1] : box[3], box[0] : box[2]] = 255
    return Sample(rgb, np.array([box], np.float32), np.array([1]))


def with_ellipse(box: tuple[int, int, int, int], height: int = 90, width: int = 120) -> Sample:
    rgb = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    centre, axes = ((x1 + x2) // 2, (y1 + y2) // 2), ((x2 - x1) // 2, (y2 - y1) // 2)
    cv2.ellipse(rgb, centre, axes, 0, 0, 360, (255, 255, 255), -1)
    return Sample(rgb, np.array([box], np.float32), np.array([0]))


def white_box(rgb: np.ndarray) -> np.ndarray:
    """Around everything white; the frame is grey and does not count."""
    white = rgb.min(-1) > 185
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = (high - low).clip(0).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


@given(SEEDS)
def test_a_rectangle_goes_where_its_box_goes(seed: int):
    rng = np.random.default_rng(seed)
    sample = augmented([with_rectangle((30, 25, 85, 70))], CANVAS, MOVING, rng)
    assert sample.rgb.shape == (CANVAS, CANVAS, 3)
    for box in sample.boxes_px:
        assert iou(box, white_box(sample.rgb)) > 0.9
        assert (box >= 0).all() and (box <= CANVAS).all()


def test_positions_are_those_of_pixels_edges():
    """Enlarged three times a rectangle's edges are where the box says, to a third of a pixel's blur."""
    sample = with_rectangle((10, 8, 25, 21), 40, 40)
    enlarged = warped(sample, np.array([[3.0, 0, 0], [0, 3.0, 0]]), (120, 120), 0.0)
    np.testing.assert_allclose(enlarged.boxes_px, [[30, 24, 75, 63]])
    half = enlarged.rgb[..., 0] > 127
    rows, columns = np.flatnonzero(half.any(1)), np.flatnonzero(half.any(0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (30, 24, 75, 63)


@given(SEEDS)
def test_a_turned_persons_box_is_as_large_as_they_are(seed: int):
    options = MOVING.model_copy(update={"rotate_deg": 30.0, "scale": (0.6, 0.9)})
    sample = placed(with_ellipse((20, 30, 100, 60)), CANVAS, options, np.random.default_rng(seed))
    for box in sample.boxes_px:
        assert iou(box, white_box(sample.rgb)) > 0.9


@given(SEEDS)
def test_in_a_mosaic_every_box_lies_around_its_rectangle(seed: int):
    rng = np.random.default_rng(seed)
    boxes = [(30, 25, 85, 70), (5, 5, 60, 40), (70, 50, 118, 88), (40, 10, 70, 80)]
    sample = mosaic([with_rectangle(box) for box in boxes], CANVAS, MOVING, rng)
    assert sample.rgb.shape == (CANVAS, CANVAS, 3)
    left = sample.rgb.copy()
    for box in sample.boxes_px:
        assert (box >= 0).all() and (box <= CANVAS).all()
        x1, y1, x2, y2 = np.round(box).astype(int)
        assert left[y1:y2, x1:x2].min(-1).mean() > 0.85 * 255
        left[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = 0
    if len(sample.boxes_px) == 4:
        assert (left.min(-1) <= 185).all()  # nobody is unlabelled


@given(SEEDS)
def test_of_whom_little_is_left_nobody_is_told(seed: int):
    """Also in a mosaic the share is that of the whole person, wherever the person is cut."""
    whole_px = 60 * 60
    sample = Sample(
        np.zeros((100, 100, 3), np.uint8), np.array([[20, 20, 80, 80]], np.float32), np.array([0])
    )
    options = STILL.model_copy(update={"shift": 0.9, "smallest_share": 0.5})
    one = placed(sample, 100, options, np.random.default_rng(seed))
    for box in one.boxes_px:
        assert (box[2:] - box[:2]).prod() >= 0.5 * whole_px - 1
    rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
    four = mosaic([sample] * 4, 200, options, rng)
    loose = mosaic([sample] * 4, 200, options.model_copy(update={"smallest_share": 0.0}), again)
    corner = (np.random.default_rng(seed).uniform(0.35, 0.65, 2) * 200).astype(int)
    scales = {}
    for quarter in range(4):
        high = np.where([quarter % 2, quarter // 2], 200 - corner, corner)
        scales[quarter] = high.max() / 100
    for box in four.boxes_px:
        middle = (box[:2] + box[2:]) / 2
        quarter = int(middle[0] > corner[0]) + 2 * int(middle[1] > corner[1])
        assert (box[2:] - box[:2]).prod() >= 0.5 * whole_px * scales[quarter] ** 2 - 2
    assert len(loose.boxes_px) >= len(four.boxes_px)


def test_people_out_of_view_and_too_small_are_dropped():
    def seen(box: tuple[float, ...], share: float = 0.4) -> int:
        sample = Sample(np.zeros((100, 100, 3), np.uint8), np.array([box], np.float32), np.array([0]))
        return len(warped(sample, np.array([[1.0, 0, 50], [0, 1.0, 0]]), (100, 100), share).labels)

    assert seen((0, 0, 40, 40)) == 1
    assert seen((60, 0, 90, 40)) == 0  # out of view
    assert seen((20, 0, 60, 40)) == 1  # three quarters left
    assert seen((40, 0, 80, 40)) == 0  # a quarter left
    assert seen((40, 0, 80, 40), 0.2) == 1
    assert seen((10, 10, 14, 40)) == 0  # 4 px wide


@given(SEEDS, st.booleans())
def test_one_seed_gives_one_picture(seed: int, four: bool):
    samples = [with_ellipse((20, 30, 100, 60)), *[with_rectangle((5, 5, 60, 40))] * 3][: 4 if four else 1]
    before = [sample.rgb.copy() for sample in samples]
    one, other = (augmented(samples, CANVAS, AugmentOptions(), np.random.default_rng(seed)) for _ in range(2))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for sample, rgb in zip(samples, before, strict=True):
        np.testing.assert_array_equal(sample.rgb, rgb)  # what was given is as it was
    third = augmented(samples, CANVAS, AugmentOptions(), np.random.default_rng(seed + 1))
    assert not np.array_equal(third.rgb, one.rgb)


def test_nothing_asked_for_is_the_picture_itself():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    sample = Sample(rgb, np.array([[3, 4, 30, 50]], np.float32), np.array([1]))
    same = augmented([sample], 64, STILL, np.random.default_rng(1))
    for mine, theirs in zip(same, sample, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    wide = Sample(np.full((32, 64, 3), 250, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    varied = augmented([wide], 64, STILL, np.random.default_rng(1))
    grey = (varied.rgb == PAD).all((1, 2)).sum()
    assert 31 <= grey <= 32  # a wide picture lies somewhere on the canvas, grey around it
    assert (varied.rgb == 250).all((1, 2)).sum() >= 31


def test_a_flip_turns_picture_and_boxes():
    sample = with_rectangle((10, 20, 40, 70), 64, 64)
    flipped = augmented([sample], 64, STILL.model_copy(update={"flip": 1.0}), np.random.default_rng(0))
    np.testing.assert_array_equal(flipped.rgb, sample.rgb[:, ::-1])
    np.testing.assert_array_equal(flipped.boxes_px, [[24, 20, 54, 64]])


@given(SEEDS)
def test_colours_and_cameras_move_no_box(seed: int):
    sample = with_rectangle((10, 20, 40, 60), 64, 64)
    coloured = augmented([sample], 64, COLOURS, np.random.default_rng(seed))
    np.testing.assert_array_equal(coloured.boxes_px, sample.boxes_px)
    np.testing.assert_array_equal(coloured.labels, sample.labels)
    assert coloured.rgb.shape == sample.rgb.shape
    inside, outside = coloured.rgb[30:50, 20:30].mean(), coloured.rgb[:, 50:].mean()
    assert inside - outside > 90  # the person is where they were


@given(SEEDS)
def test_a_blur_keeps_brightness_and_place(seed: int):
    sample = with_rectangle((22, 22, 42, 42), 64, 64)
    options = STILL.model_copy(update={"blur": 1.0})
    blurred = with_camera_faults(sample.rgb, options, np.random.default_rng(seed)).astype(float)[..., 0]
    assert blurred.sum() == pytest.approx(sample.rgb[..., 0].sum(), rel=0.02)
    rows, columns = np.mgrid[:64, :64] + 0.5
    assert (blurred * columns).sum() / blurred.sum() == pytest.approx(32, abs=0.8)
    assert (blurred * rows).sum() / blurred.sum() == pytest.approx(32, abs=0.8)


@given(SEEDS)
def test_erasing_covers_a_part_of_people_and_nothing_else(seed: int):
    sample = with_rectangle((10, 20, 60, 70), 80, 80)
    options = STILL.model_copy(update={"erase": 1.0})
    covered = erased(sample, options, np.random.default_rng(seed))
    changed = (covered.rgb != sample.rgb).any(-1)
    assert not changed[:20].any() and not changed[70:].any()
    assert not changed[:, :10].any() and not changed[:, 60:].any()
    assert changed.sum() <= 0.25 * 50 * 50
    np.testing.assert_array_equal(covered.boxes_px, sample.boxes_px)


def test_pictures_without_anybody_are_varied_too():
    empty = Sample(np.full((50, 70, 3), 80, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    for samples in ([empty], [empty] * 4):
        varied = augmented(samples, 96, AugmentOptions(), np.random.default_rng(0))
        assert varied.boxes_px.shape == (0, 4) and len(varied.labels) == 0


@given(SEEDS)
def test_a_close_view_shows_somebody_whole_and_large(seed: int):
    rng = np.random.default_rng(seed)
    sample = placed(with_rectangle((30, 25, 85, 70)), CANVAS, STILL.model_copy(update={"close": 1.0}), rng)
    (box,) = sample.boxes_px
    assert 0.34 * CANVAS <= (box[2:] - box[:2]).max() <= 0.96 * CANVAS
    assert box.min() >= -1e-3 and box.max() <= CANVAS + 1e-3
    np.testing.assert_allclose(
        (box[2:] - box[:2]) @ [1, 0] / ((box[2:] - box[:2]) @ [0, 1]), 55 / 45, rtol=1e-4
    )
    assert iou(white_box(sample.rgb), box.astype(np.float64)) > 0.9


def test_close_views_come_by_chance_and_only_where_somebody_is():
    sides = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        options = STILL.model_copy(update={"close": 0.4})
        (box,) = placed(with_rectangle((10, 10, 22, 20)), CANVAS, options, rng).boxes_px
        sides.append((box[2:] - box[:2]).max())
        nobody = Sample(np.zeros((90, 120, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        assert not len(placed(nobody, CANVAS, options, rng).boxes_px)
    assert 0.3 < np.mean(np.array(sides) > 0.3 * CANVAS) < 0.5


def test_a_coarse_picture_has_lost_its_fine_detail_and_keeps_the_rest():
    rng = np.random.default_rng(0)
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    broad = np.repeat(np.repeat(rng.integers(0, 256, (4, 4)), 16, 0), 16, 1)
    coarse = STILL.model_copy(update={"coarse": 1.0})
    for picture, kept in ((fine, False), (broad, True)):
        rgb = np.repeat(picture[..., None], 3, -1).astype(np.uint8)
        after = with_camera_faults(rgb, coarse, rng)
        assert after.shape == rgb.shape and after.dtype == np.uint8
        likeness = np.corrcoef(rgb.ravel(), after.ravel())[0, 1] if after.std() else 0.0
        assert (likeness > 0.9) == kept
