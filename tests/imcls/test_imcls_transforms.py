"""Every transform is a pure function of its draws, keeps what it must, and moves what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imcls.data import transform_options as to
from imcls.data.draws import Draws
from imcls.data.fit import BORDER, prepare_image, short_side_px
from imcls.data.options import InputOptions, ProgressiveStep
from imcls.data.resize import resized
from imcls.data.transforms import apply, augment
from imcls.data.transforms_square import make_squares, part_boxes

_SQUARES = [
    to.RandomResizedCrop(),
    to.EfficientNetCrop(),
    to.RandomCrop(),
    to.RandomCrop(scale=1.2, padding=0.0),
    to.RandomCrop(border="zero"),
    to.CornerCrop(),
    to.Resize(),
    to.Resize(fit="squash"),
    to.Resize(fit="letterbox"),
]
_OTHERS = [
    to.Flip(),
    to.Flip(direction="vertical"),
    to.Flip(alternating=True),
    to.Translate(),
    to.Affine(shear_deg=5.0),
    to.Zoom(probability=1.0),
    to.Shear(probability=1.0),
    to.Skew(probability=1.0),
    to.ColorJitter(hue=0.1),
    to.HsvShift(probability=1.0),
    to.Lighting(),
    to.Equalize(probability=0.5),
    to.Grayscale(probability=0.5),
    to.Blur(probability=1.0),
    to.Noise(probability=1.0),
    to.Erasing(probability=1.0),
    to.Erasing(probability=1.0, fill="grey"),
    to.Cutout(),
    to.RandAugment(),
    to.TrivialAugment(),
    to.AugMix(),
]


def _name(transform: to.Transform) -> str:
    return transform.type


def _images(n: int = 6, height: int = 40, width: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (n, 5, 6, 3), dtype=np.uint8)
    return np.stack([resized(image, height, width) for image in coarse])


def _draws(n: int = 6, seed: int = 1, epoch: int = 0, first: int = 0) -> Draws:
    return Draws(seed, epoch, np.arange(first, first + n))


def test_every_transform_of_the_options_is_covered() -> None:
    listed = {type(transform) for transform in [*_SQUARES, *_OTHERS]}
    union = to.AugmentOptions.model_json_schema()["properties"]["transforms"]["items"]["discriminator"]
    assert {cls.model_fields["type"].default for cls in listed} == set(union["mapping"])


@pytest.mark.parametrize("transform", _OTHERS, ids=_name)
def test_transforms_of_squares_are_pure_and_the_same_alone_or_in_company(transform) -> None:
    images = _images()
    whole = apply(transform, images.copy(), _draws())
    assert whole.shape == images.shape and whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, apply(transform, images.copy(), _draws()))
    for i in (0, 4):
        alone = apply(transform, images[i : i + 1].copy(), _draws(1, first=i))
        np.testing.assert_array_equal(alone[0], whole[i])
    others = [apply(transform, images.copy(), draws) for draws in (_draws(seed=2), _draws(epoch=1))]
    assert all((other != whole).any() for other in others)
    assert (whole != images).any()


@pytest.mark.parametrize("transform", [*_OTHERS, *_SQUARES], ids=_name)
def test_the_models_random_numbers_are_left_alone(transform) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    options = InputOptions(augment=to.AugmentOptions(transforms=(transform,)))
    augment(_images(), options, 40, _draws())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("square", _SQUARES, ids=_name)
def test_squares_are_the_same_whether_images_come_as_one_array_or_as_a_list(square) -> None:
    images = _images(height=37, width=52)
    whole = make_squares(images, square, 24, _draws())
    assert whole.shape == (6, 24, 24, 3)
    np.testing.assert_array_equal(whole, make_squares(list(images), square, 24, _draws()))
    np.testing.assert_array_equal(whole[3:4], make_squares(images[3:4], square, 24, _draws(1, first=3)))


@pytest.mark.parametrize("square", _SQUARES, ids=_name)
@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3), (200, 8)])
def test_odd_sizes_become_squares_too(square, size: tuple[int, int]) -> None:
    images = _images(4, *size)
    assert make_squares(images, square, 16, _draws(4)).shape == (4, 16, 16, 3)


def test_order_of_transforms_and_position_matter() -> None:
    twice = InputOptions(augment=to.AugmentOptions(transforms=(to.Resize(), to.Translate(), to.Translate())))
    once = InputOptions(augment=to.AugmentOptions(transforms=(to.Resize(), to.Translate())))
    assert (augment(_images(), twice, 40, _draws()) != augment(_images(), once, 40, _draws())).any()


def test_without_a_square_the_evaluations_fit_makes_it() -> None:
    options = InputOptions(fit="letterbox", augment=to.AugmentOptions(transforms=()))
    images = _images(height=20, width=40)
    made = augment(images, options, 40, _draws())
    for image, square in zip(images, made, strict=True):
        np.testing.assert_array_equal(prepare_image(image, options, 40).permute(1, 2, 0).numpy(), square)


def test_a_second_square_is_refused() -> None:
    with pytest.raises(ValueError, match="random_crop makes the square: write it once, as the first"):
        to.AugmentOptions(transforms=(to.Flip(), to.RandomCrop()))


# ---- draws ----


def test_draws_are_uniform_independent_and_pure() -> None:
    u = Draws(7, 3, np.arange(20_000)).uniform(3)
    np.testing.assert_array_equal(u[500:], Draws(7, 3, np.arange(500, 20_000)).uniform(3))
    assert u.min() >= 0 and u.max() < 1
    hist = np.histogram(u[:, 0], 20, (0, 1))[0]
    assert ((hist - 1000) ** 2 / 1000).sum() < 44  # chi squared, 19 degrees of freedom, p = 0.001
    other = [
        Draws(7, 4, np.arange(20_000)),
        Draws(8, 3, np.arange(20_000)),
        Draws(7, 3, np.arange(20_000), 1),
    ]
    columns = np.stack([*u.T, *(draws.uniform(1)[:, 0] for draws in other)])
    correlation = np.corrcoef(columns) - np.eye(6)
    assert np.abs(correlation).max() < 0.03
    normal = Draws(7, 3, np.arange(20_000)).normal(1)
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03


# ---- squares ----


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10))
@settings(max_examples=60)
def test_parts_lie_inside(height: int, width: int, seed: int) -> None:
    sizes = np.array([[height, width]] * 8)
    for how in (to.RandomResizedCrop(), to.EfficientNetCrop(), to.CornerCrop()):
        boxes = part_boxes(sizes, how, 224, _draws(8, seed))
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


def test_parts_have_the_area_and_shape_that_was_asked_for() -> None:
    n = 4000
    how = to.RandomResizedCrop(scale=(0.2, 0.6), ratio=(0.8, 1.25))
    boxes = part_boxes(np.full((n, 2), 400), how, 224, _draws(n))
    area, ratio = boxes[:, 2] * boxes[:, 3] / 400**2, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.198 and area.max() < 0.602 and abs(area.mean() - 0.4) < 0.01
    assert ratio.min() > 0.79 and ratio.max() < 1.26 and abs(np.log(ratio).mean()) < 0.01
    room = 400 - boxes[:, 2]
    assert abs((boxes[:, 0] / room).mean() - 0.5) < 0.02
    assert boxes[:, 0].min() == 0 and (boxes[:, 0] == room).any()


def test_corner_crops_are_the_corners_and_the_centre() -> None:
    boxes = part_boxes(np.full((200, 2), 40), to.CornerCrop(share=0.5), 16, _draws(200))
    assert {(0, 0), (0, 20), (20, 0), (20, 20), (10, 10)} == {tuple(b) for b in boxes[:, :2].tolist()}


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_random_crop_is_a_window_of_the_padded_image(border) -> None:
    images = _images(300, 16, 16)
    crops = make_squares(images, to.RandomCrop(padding=0.125, border=border), 16, _draws(300))
    seen = set()
    for image, crop in zip(images, crops, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect" if border == "reflect" else "constant")
        places = [
            (y, x) for y in range(5) for x in range(5) if (padded[y : y + 16, x : x + 16] == crop).all()
        ]
        assert places
        seen.add(places[0])
    assert len(seen) == 25


def test_fits_are_what_they_say() -> None:
    image = _images(1, 30, 60)[0]
    crop = make_squares([image], to.Resize(fit="crop", crop_share=0.8), 24, _draws(1))[0]
    np.testing.assert_array_equal(crop, image[3:27, 18:42])
    box = make_squares([image], to.Resize(fit="letterbox"), 60, _draws(1))[0]
    np.testing.assert_array_equal(box[15:45], image)
    assert (box[:15] == BORDER).all() and (box[45:] == BORDER).all()
    squash = make_squares([image], to.Resize(fit="squash"), 30, _draws(1))[0]
    np.testing.assert_array_equal(squash, resized(image, 30, 30))


def test_kept_size_is_enough_for_training_and_evaluation() -> None:
    assert short_side_px(InputOptions(image_px=224, crop_share=0.875)) >= 256
    plain = InputOptions(
        image_px=32, crop_share=1.0, augment=to.AugmentOptions(transforms=(to.RandomCrop(),))
    )
    assert short_side_px(plain) == 32
    assert short_side_px(plain, largest_view=1.5) == 48
    larger = plain.model_copy(update={"progressive": (ProgressiveStep(start=0.0, image_px=48),)})
    assert short_side_px(larger) == 48


# ---- shape ----


@pytest.mark.parametrize("px", [16, 80])  # mirrored all at once, and one by one
@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_flip_mirrors_about_its_share_of_images(px: int, direction, axis: int) -> None:
    n = 400 if px == 16 else 60
    images = _images(n, px, px)
    flipped = apply(to.Flip(direction=direction, probability=0.3), images.copy(), _draws(n))
    mirrored = [(new == np.flip(old, axis)).all() for old, new in zip(images, flipped, strict=True)]
    kept = [(new == old).all() for old, new in zip(images, flipped, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert abs(np.mean(mirrored) - 0.3) < 3 * np.sqrt(0.21 / n)


def test_alternating_flip_mirrors_each_image_every_other_epoch() -> None:
    images = _images(200, 8, 8)
    shown = np.array(
        [(apply(to.Flip(alternating=True), images.copy(), _draws(200, epoch=e)) != images).any(axis=(1, 2, 3))
         for e in range(4)]
    )  # fmt: skip
    assert (shown[0] != shown[1]).all() and (shown[0] == shown[2]).all() and (shown[1] == shown[3]).all()
    assert abs(shown[0].mean() - 0.5) < 0.12


def test_neutral_settings_change_nothing() -> None:
    images = _images()
    neutral = [
        to.Affine(degrees=0.0, translate=0.0, scale=(1.0, 1.0)),
        to.Zoom(scale=(1.0, 1.0), probability=1.0),
        to.ColorJitter(brightness=0.0, contrast=0.0, saturation=0.0),
        to.HsvShift(hue_deg=0.0, saturation=0.0, value=0.0, probability=1.0),
        to.Noise(sigma=(0.0, 0.0), probability=1.0),
        to.Lighting(sigma=1e-9),
        to.Blur(probability=0.0),
    ]
    for transform in neutral:
        np.testing.assert_array_equal(apply(transform, images.copy(), _draws()), images, transform.type)


def test_zoom_keeps_the_centre_and_enlarges() -> None:
    images = np.zeros((1, 41, 41, 3), np.uint8)
    images[:, 15:26, 15:26] = 255
    wide = apply(to.Zoom(scale=(2.0, 2.0), probability=1.0), images.copy(), _draws(1))
    assert wide[0, 20, 20, 0] == 255 and 3.6 < (wide > 127).sum() / (images > 127).sum() < 4.4


# ---- colour and detail ----


def test_colour_moves_within_its_bounds() -> None:
    grey = np.full((200, 4, 4, 3), 100, np.uint8)
    bright = apply(to.ColorJitter(brightness=0.2, contrast=0.0, saturation=0.0), grey.copy(), _draws(200))
    assert bright.min() >= 79 and bright.max() <= 120 and abs(bright.mean() - 100) < 3
    valued = apply(
        to.HsvShift(hue_deg=0.0, saturation=0.3, value=0.1, probability=1.0), grey.copy(), _draws(200)
    )
    assert valued.min() >= 74 and valued.max() <= 126 and (valued.max(axis=3) == valued.min(axis=3)).all()
    lit = apply(to.Lighting(sigma=0.1), grey.copy(), _draws(200)).astype(float)
    # variance of each channel: sum over components of (0.1 s v)^2
    assert 0.6 < lit[:, 0, 0, 0].std() / (255 * 0.1 * 0.2175 * 0.5675) < 1.4
    assert (lit == lit[:, :1, :1]).all()


def test_hsv_shift_is_a_shift_of_hsv() -> None:
    import colorsys

    random = np.random.default_rng(2)
    colours = random.integers(20, 200, (50, 1, 1, 3), dtype=np.uint8)
    draws = _draws(50)
    how = to.HsvShift(hue_deg=0.0, saturation=0.2, value=0.2, probability=1.0)
    moved = apply(how, colours.copy(), draws)
    for old, new, u in zip(colours.reshape(-1, 3), moved.reshape(-1, 3), draws.uniform(3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(old / 255.0))
        shifted = h, np.clip(s + (2 * u[1] - 1) * 0.2, 0, 1), np.clip(v + (2 * u[2] - 1) * 0.2, 0, 1)
        expected = np.array(colorsys.hsv_to_rgb(*shifted)) * 255.0
        assert np.abs(new - expected).max() <= 0.51


def test_noise_has_its_standard_deviation() -> None:
    grey = np.full((1, 100, 100, 3), 128, np.uint8)
    noisy = apply(to.Noise(sigma=(12.0, 12.0), probability=1.0), grey, _draws(1))
    assert abs(noisy.std() - 12.0) < 0.3 and abs(noisy.mean() - 128) < 0.3


def test_erased_rectangles_have_their_area() -> None:
    images = np.full((400, 32, 32, 3), 255, np.uint8)
    erased = apply(to.Erasing(area=(0.1, 0.3), fill="black", probability=0.5), images, _draws(400))
    area = (erased[..., 0] == 0).mean(axis=(1, 2))
    assert abs((area > 0).mean() - 0.5) < 0.08
    assert area[area > 0].min() > 0.08 and area.max() < 0.32


def test_cutout_is_a_square_that_the_border_may_cut() -> None:
    images = np.zeros((300, 32, 32, 3), np.uint8)
    cut = apply(to.Cutout(share=0.25), images, _draws(300))[..., 0] > 0
    rows, columns = cut.any(axis=2).sum(axis=1), cut.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(rows * columns, cut.sum(axis=(1, 2)))
    assert rows.max() == 8 and rows.min() >= 4 and (rows < 8).any()


def test_small_images_are_cropped_and_mirrored_all_at_once_as_one_by_one() -> None:
    images = _images(64, 32, 32)
    options = InputOptions(image_px=32, augment=to.AugmentOptions(transforms=(to.RandomCrop(), to.Flip())))
    together = augment(images.copy(), options, 32, Draws(0, 0, np.arange(64)))
    for i in range(64):
        alone = augment(images[i : i + 1].copy(), options, 32, Draws(0, 0, np.array([i])))
        np.testing.assert_array_equal(alone[0], together[i])
    assert (together != images).any(axis=(1, 2, 3)).mean() > 0.9
