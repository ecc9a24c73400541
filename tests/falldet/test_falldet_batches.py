"""Batches are a function of (seed, epoch, number); what is held back shares no group with what is learned."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_people import painted_set

from falldet.data.augment_options import AugmentOptions
from falldet.data.batches import Batch, Pool, TrainBatches
from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.data.split import hold_back
from falldet.model.options import PixelOptions
from suite.errors import BadInput


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> LabelledSet:
    return painted_set(tmp_path_factory.mktemp("painted"), 10, 0)


def unseen(pictures: int, labels: tuple[int, ...] = (1,), group: str | None = None) -> LabelledSet:
    """Pictures that are listed but not there: an order needs none."""
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (len(labels), 1))
    tags = ((),) * len(labels)
    images = [
        LabelledImage(Path(f"{k}.png"), 10, 10, boxes, np.array(labels, np.int64), tags, group)
        for k in range(pictures)
    ]
    return LabelledSet("unseen", tuple(images))


def batches(*pools: Pool, **given_settings: Any) -> TrainBatches:
    augment = given_settings.pop("augment", AugmentOptions(mosaic=0.5))
    usual: dict[str, Any] = {"batch_size": 2, "pictures": 8, "scale_px": (64, 96)}
    return TrainBatches(pools, PixelOptions(), augment, **{**usual, **given_settings})


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.images, other.images)
    assert one.sizes_px == other.sizes_px
    for mine, theirs in zip(one.targets, other.targets, strict=True):
        assert torch.equal(mine.boxes, theirs.boxes) and torch.equal(mine.labels, theirs.labels)


def test_batches_are_a_function_of_seed_epoch_and_number(painted: LabelledSet):
    made, again = (batches(Pool(painted, 1.0), seed=3) for _ in range(2))
    first = list(made.epoch(1))
    assert len(first) == len(made) == 4
    for one, other in zip(first, again.epoch(1), strict=True):
        assert_same(one, other)
    for one, other in zip(first[2:], again.epoch(1, 2), strict=True):  # taken up in the middle
        assert_same(one, other)
    orders = [made.order(1), made.order(2), batches(Pool(painted, 1.0), seed=4).order(1)]
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], orders[2])


def test_a_picture_is_varied_anew_in_every_epoch_and_place(painted: LabelledSet):
    augment = AugmentOptions(mosaic=0, scale=(0.8, 1.2))
    made = batches(Pool(painted, 1.0), scale_px=(96, 96), augment=augment)
    order = np.zeros((8, 2), np.int64)  # the same picture at every place
    one, later, beside = (made.batch(order, *place).images for place in ((0, 0), (1, 0), (0, 1)))
    assert not torch.equal(one, later) and not torch.equal(one, beside)
    assert not torch.equal(one[0], one[1])


def test_a_batch_is_square_of_a_size_in_range_with_people_inside(painted: LabelledSet):
    made = batches(Pool(painted, 1.0), pictures=24, scale_px=(64, 128))
    sides = set()
    for batch in made.epoch(0):
        n, channels, height, width = batch.images.shape
        assert (n, channels) == (2, 3) and height == width and height in (64, 96, 128)
        assert batch.sizes_px == [(height, width)] * 2
        sides.add(height)
        for target in batch.targets:
            assert target.boxes.dtype == torch.float32 and target.labels.dtype == torch.int64
            assert (target.boxes >= 0).all() and (target.boxes <= height).all()
            assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()
    assert len(sides) > 1


def test_people_in_a_batch_are_those_of_the_pictures(painted: LabelledSet):
    """Red is fallen, blue is not, whichever way the picture was varied."""
    plain = AugmentOptions(mosaic=0.5, hue=0, grey=0, blur=0, noise=0, jpeg=0, erase=0, saturation=0)
    pixels = PixelOptions(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    made = TrainBatches([Pool(painted, 1.0)], pixels, plain, batch_size=4, pictures=16, scale_px=(96, 96))
    people = 0
    for batch in made.epoch(0):
        for image, target in zip(batch.images, batch.targets, strict=True):
            for box, label in zip(target.boxes.round().int().tolist(), target.labels.tolist(), strict=True):
                x1, y1, x2, y2 = box
                red, _, blue = image[:, y1:y2, x1:x2].mean((1, 2)).tolist()
                assert (red > blue + 30) if label == 0 else (blue > red + 30)
                people += 1
    assert people >= 16


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.05, 1), st.floats(0.05, 1), st.integers(1, 60))
def test_shares_of_pools_are_exact(one: int, two: int, a: float, b: float, pictures: int):
    made = batches(Pool(unseen(one), a), Pool(unseen(two), b), batch_size=1, pictures=pictures)
    order = made.order(0)
    assert len(order) == pictures
    count = int((order[:, 0] == 0).sum())
    assert abs(count - pictures * a / (a + b)) <= 0.5 + 1e-9
    for pool, size in ((0, one), (1, two)):
        drawn = Counter(order[order[:, 0] == pool, 1].tolist())
        times = [drawn[k] for k in range(size)]
        assert max(times) - min(times) <= 1  # each once before any twice


def test_an_epoch_of_one_pool_shows_each_picture_once():
    made = batches(Pool(unseen(49), 0.3), batch_size=7, pictures=49)
    assert sorted(made.order(5)[:, 1].tolist()) == list(range(49))
    assert made.order(5)[:, 1].tolist() != list(range(49))


@given(st.integers(0, 1000))
def test_fallen_people_come_as_often_as_weighed(epoch: int):
    mixed = LabelledSet("mixed", unseen(10, (1, 0)).images + unseen(20).images + unseen(3, ()).images)
    made = batches(Pool(mixed, 1.0), batch_size=1, pictures=43 * 2, fallen_weight=2.0)
    drawn = Counter(made.order(epoch)[:, 1].tolist())
    assert [drawn[k] for k in range(33)] == [4] * 10 + [2] * 23


def test_pictures_that_fill_no_batch_are_left_and_few_make_one():
    assert len(batches(Pool(unseen(3), 1.0), batch_size=2, pictures=7)) == 3
    made = batches(Pool(unseen(3), 1.0), batch_size=8, pictures=3)
    assert len(made) == 1 and len(made.order(0)) == 8


def test_a_pool_without_pictures_is_refused():
    with pytest.raises(BadInput, match=r"^empty: has no picture to train on$"):
        batches(Pool(unseen(3), 1.0), Pool(LabelledSet("empty", ()), 1.0))


def grouped(sizes: list[int], fallen: list[bool]) -> LabelledSet:
    images: list[LabelledImage] = []
    for group, (size, lies) in enumerate(zip(sizes, fallen, strict=True)):
        part = unseen(size, (0,) if lies else (1,), f"clip {group}").images
        images += [replace(image, path=Path(f"{group}-{image.path}")) for image in part]
    return LabelledSet("clips", tuple(images))


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=12),
    st.floats(0.05, 0.8),
    st.integers(0, 9),
)
def test_whole_groups_are_held_back(groups: list[tuple[int, bool]], share: float, seed: int):
    labelled = grouped(*map(list, zip(*groups, strict=True)))
    learned, held = hold_back(labelled, share, seed)
    assert len(learned) and len(held)
    assert {i.group for i in learned.images}.isdisjoint(i.group for i in held.images)
    paths = [i.path for i in learned.images + held.images]
    assert sorted(paths) == sorted(i.path for i in labelled.images)
    again = hold_back(labelled, share, seed)
    assert [i.path for i in again[1].images] == [i.path for i in held.images]


def test_shares_held_back_are_near_also_of_the_fallen():
    labelled = grouped([5] * 20, [k % 4 == 0 for k in range(20)])
    learned, held = hold_back(labelled, 0.2, 0)
    assert (len(learned), len(held)) == (80, 20)
    assert held.counts() == {"fallen": 5, "not_fallen": 15}
    assert held.name == "clips, held back" and learned.name == "clips"
    others = [[i.path for i in hold_back(labelled, 0.2, seed)[1].images] for seed in range(3)]
    assert others[0] != others[1] or others[0] != others[2]


def test_pictures_without_a_group_are_groups_of_their_own():
    learned, held = hold_back(unseen(10), 0.3, 0)
    assert (len(learned), len(held)) == (7, 3)


def test_one_group_cannot_be_divided():
    with pytest.raises(BadInput, match="is all of one group") as caught:
        hold_back(unseen(10, (0,), "clip"), 0.2, 0)
    assert "data.develop" in str(caught.value)
