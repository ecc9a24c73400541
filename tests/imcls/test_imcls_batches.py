"""Batches are a pure function of (seed, epoch, number), whoever prepares them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imcls.data import transform_options as to
from imcls.data.batches import Batch, TrainBatches
from imcls.data.cache import ImageCache
from imcls.data.evaluation_batches import eval_batches
from imcls.data.fit import prepare_image
from imcls.data.normalise import normalise
from imcls.data.options import Balanced, InputOptions, Pk, ProgressiveStep
from imcls.data.table import ImageTable
from suite.errors import BadInput


def _cache(sizes: list[tuple[int, int]]) -> ImageCache:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8).reshape(-1) for size in sizes]
    offsets = np.cumsum([0, *(len(image) for image in images)])[:-1].astype(np.int64)
    return ImageCache(np.concatenate(images), offsets, np.array(sizes, np.int64))


def _table(n: int, labels: np.ndarray | None = None) -> ImageTable:
    from pathlib import Path

    names = tuple(f"{i}.png" for i in range(n))
    labels = np.arange(n, dtype=np.int64) % 4 if labels is None else labels
    return ImageTable(names, tuple(map(Path, names)), labels, ("a", "b", "c", "d"))


_MIXED = [(20 + i % 7, 24 + i % 5) for i in range(40)]
_OPTIONS = InputOptions(image_px=16, batch_size=8)
_POLICY = _OPTIONS.model_copy(
    update={"augment": to.AugmentOptions(transforms=(to.RandomCrop(), to.RandAugment(), to.Flip()))}
)


def _batches(options: InputOptions = _OPTIONS, n: int = 40, **more) -> TrainBatches:
    return TrainBatches(_cache(_MIXED[:n]), _table(n), np.arange(n), options, seed=3, epochs=4, **more)


def _same(one: Batch, other: Batch) -> None:
    assert one[3:] == other[3:]
    for a, b in zip(one[:3], other[:3], strict=True):
        assert torch.equal(a, b) and a.dtype == b.dtype


@pytest.mark.parametrize("options", [_OPTIONS, _POLICY], ids=["thread", "policy"])
def test_an_epoch_resumes_at_any_batch(options: InputOptions) -> None:
    whole = list(_batches(options).epoch(1))
    assert len(whole) == 5
    rest = list(_batches(options).epoch(1, start=3))
    assert len(rest) == 2
    for one, other in zip(whole[3:], rest, strict=True):
        _same(one, other)
    again = list(_batches(options).epoch(1))
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole, again, strict=True))
    other = list(_batches(options).epoch(2))
    assert any((a.images != b.images).any() for a, b in zip(whole, other, strict=True))


def test_worker_processes_prepare_the_same_batches_over_epochs_and_after_a_break() -> None:
    alone, shared = _batches(_POLICY), _batches(_POLICY.model_copy(update={"workers": 2}))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for epoch, start in ((0, 0), (1, 2)):
        for one, other in zip(alone.epoch(epoch, start), shared.epoch(epoch, start), strict=True):
            _same(one, other)
    stopped = shared.epoch(2)
    _same(next(iter(alone.epoch(2))), next(stopped))
    del stopped
    for one, other in zip(alone.epoch(3, 1), shared.epoch(3, 1), strict=True):
        _same(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_are_what_they_say() -> None:
    seen = []
    for number, batch in enumerate(_batches().epoch(2)):
        assert batch.images.shape == (8, 3, 16, 16) and batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.epoch, batch.number, batch.progress) == (2, number, (2 * 5 + number) / 20)
        assert torch.equal(batch.targets, batch.index % 4)
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(40))


def test_an_image_looks_the_same_whatever_the_batch_size() -> None:
    looks = []
    for size in (8, 20):
        batches = _batches(_OPTIONS.model_copy(update={"batch_size": size}))
        looks.append(
            {int(i): image for b in batches.epoch(0) for i, image in zip(b.index, b.images, strict=True)}
        )
    assert all(torch.equal(looks[0][i], looks[1][i]) for i in range(40))


def test_an_incomplete_batch_is_left_out_unless_it_is_the_only_one() -> None:
    assert len(_batches(n=39)) == 4 and sum(len(b.index) for b in _batches(n=39).epoch(0)) == 32
    assert len(_batches(n=5)) == 1 and [len(b.index) for b in _batches(n=5).epoch(0)] == [5]


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_share_the_batch_of_one_process(world: int) -> None:
    ranks = [_batches(rank=rank, world=world) for rank in range(world)]
    for whole, *parts in zip(_batches().epoch(1), *(rank.epoch(1) for rank in ranks), strict=True):
        assert torch.equal(torch.cat([part.index for part in parts]), whole.index)
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
        assert {part.progress for part in parts} == {whole.progress}


def test_sizes_grow_with_the_share_of_the_training_that_has_passed() -> None:
    steps = (ProgressiveStep(start=0.0, image_px=8), ProgressiveStep(start=0.3, image_px=12))
    batches = _batches(_OPTIONS.model_copy(update={"progressive": steps}))
    sizes = [batch.images.shape[-1] for epoch in range(4) for batch in batches.epoch(epoch)]
    assert sizes == [8] * 6 + [12] * 14
    late = _OPTIONS.model_copy(update={"progressive": (ProgressiveStep(start=0.5, image_px=24),)})
    assert [_batches(late).image_px(share) for share in (0.0, 0.49, 0.5)] == [16, 16, 24]


def test_images_drawn_twice_look_different() -> None:
    labels = np.array([0] * 38 + [1] * 2, np.int64)
    options = _OPTIONS.model_copy(update={"sampling": Balanced(), "batch_size": 40})
    table = _table(40, labels)
    batch = next(TrainBatches(_cache(_MIXED), table, np.arange(40), options, 0, 1).epoch(0))
    rare = [image for i, image in zip(batch.index.tolist(), batch.images, strict=True) if i == 39]
    assert len(rare) > 5 and len({image.numpy().tobytes() for image in rare}) == len(rare)


def test_pk_batches_and_several_labels() -> None:
    options = InputOptions(image_px=16, batch_size=6, sampling=Pk(p=3, k=2))
    for batch in _batches(options).epoch(0):
        assert sorted(np.unique(batch.targets.numpy(), return_counts=True)[1].tolist()) == [2, 2, 2]
    hot = (np.arange(160).reshape(40, 4) % 3 == 0).astype(np.uint8)
    several = TrainBatches(_cache(_MIXED), _table(40, hot), np.arange(40), _OPTIONS, 0, 1)
    batch = next(several.epoch(0))
    assert batch.targets.dtype == torch.float32
    np.testing.assert_array_equal(batch.targets.numpy(), hot[batch.index.numpy()])


def test_only_the_images_at_the_indices_come() -> None:
    indices = np.array([3, 5, 8, 13, 21, 34, 39, 2, 1])
    batches = TrainBatches(_cache(_MIXED), _table(40), indices, _OPTIONS, 0, 1)
    assert len(batches) == 1 and set(next(batches.epoch(0)).index.tolist()) <= set(indices.tolist())


def test_missing_labels_and_images_are_named() -> None:
    labels = np.array([0, 1, -1, 2], np.int64)
    with pytest.raises(BadInput, match=r"2\.png: has no label"):
        TrainBatches(_cache(_MIXED[:4]), _table(4, labels), np.arange(4), _OPTIONS, 0, 1)
    with pytest.raises(BadInput, match="no images to train on"):
        TrainBatches(_cache(_MIXED[:4]), _table(4), np.arange(0), _OPTIONS, 0, 1)


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("sizes", [_MIXED, [(16, 16)] * 11], ids=["mixed", "uniform"])
def test_evaluation_sees_every_image_once_as_prediction_does(fit, sizes) -> None:
    cache, options = _cache(sizes), InputOptions(image_px=16, fit=fit)
    wanted = np.arange(len(sizes))[::-1]
    seen = []
    for images, index in eval_batches(cache, wanted, options, 20, 4):
        assert images.shape[1:] == (3, 20, 20) and images.dtype == torch.uint8
        for image, i in zip(images, index, strict=True):
            assert torch.equal(image, prepare_image(cache.image(int(i)), options, 20))
        seen += index.tolist()
    assert seen == wanted.tolist()
    assert list(eval_batches(cache, wanted[:0], options, 20, 4)) == []


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("alike", [True, False])
def test_normalise_is_its_formula(channels_last: bool, alike: bool) -> None:
    mean, std = ((0.5,) * 3, (0.25,) * 3) if alike else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images = next(_batches().epoch(0)).images
    got = normalise(images, mean, std, channels_last)
    expected = (images / 255.0 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    order = torch.channels_last if channels_last else torch.contiguous_format
    assert got.is_contiguous(memory_format=order) and images.dtype == torch.uint8
