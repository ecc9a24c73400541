"""Copies are found whatever was done to them, and pictures that merely look alike are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from suite.data import fingerprints as module
from suite.data.duplicates import duplicate_groups, find_pairs, join
from suite.data.fingerprints import Fingerprints, fingerprints
from suite.data.similarity import describe, least_similarity, luminance

TILE_PX = 140


@lru_cache(maxsize=1)
def photographs() -> tuple[Image.Image, ...]:
    """Parts of two photographs that do not overlap; none is nearly plain."""
    from sklearn.datasets import load_sample_image

    parts = [
        Image.fromarray(load_sample_image(name)[y : y + TILE_PX, x : x + TILE_PX])
        for name in ("china.jpg", "flower.jpg")
        for y in range(0, 3 * TILE_PX, TILE_PX)
        for x in range(0, 4 * TILE_PX, TILE_PX)
    ]
    return tuple(part for part in parts if np.asarray(part.convert("L")).std() > 10)


def encoded(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


def cropped(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Without ``share`` of each side, taken off anywhere."""
    width, height = image.size
    x, y = rng.uniform(0, share, 2) * image.size
    return image.crop((round(x), round(y), round(x + (1 - share) * width), round(y + (1 - share) * height)))


def resized(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


DISTORTIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "quality 30": lambda image, rng: encoded(image, 30),
    "half": lambda image, rng: resized(image, 0.5),
    "larger": lambda image, rng: resized(image, 1.5),
    "darker": lambda image, rng: ImageEnhance.Brightness(image).enhance(0.85),
    "brighter": lambda image, rng: ImageEnhance.Brightness(image).enhance(1.15),
    "grey": lambda image, rng: image.convert("L"),
    "crop 5 %": lambda image, rng: cropped(image, 0.05, rng),
    "crop 10 %": lambda image, rng: cropped(image, 0.10, rng),
    "mirrored": lambda image, rng: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "all together": lambda image, rng: encoded(
        ImageEnhance.Brightness(
            resized(cropped(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.08, rng), 0.7)
        ).enhance(1.1),
        50,
    ),
}


Files = tuple[tuple[str, ...], tuple[Path, ...]]


def saved(folder: Path, images: dict[str, Image.Image | bytes]) -> Files:
    """Names and paths of the images, saved under their names."""
    for name, image in images.items():
        if isinstance(image, bytes):
            (folder / name).write_bytes(image)
        else:
            image.save(folder / name)
    paths = tuple(folder / name for name in images)
    return tuple(images), paths


def of_thumbs(thumbs: np.ndarray) -> Fingerprints:
    n = len(thumbs)
    each = tuple(str(i) for i in range(n))
    sizes = np.full((n, 2), 100, np.int64)
    return Fingerprints(each, each, each, np.ones(n, np.int64), sizes, ((),) * n, ("",) * n, thumbs)


def thumb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distorted_copies_are_found_and_nothing_else(name: str):
    rng = np.random.default_rng(3)
    originals = photographs()
    copies = [DISTORTIONS[name](image, rng) for image in originals]
    pairs = find_pairs(of_thumbs(np.stack([thumb(image) for image in (*originals, *copies)])))
    n = len(originals)
    found = {(pair.first, pair.second) for pair in pairs}
    assert found <= {(i, n + i) for i in range(n)}
    assert len(found) >= (n - 1 if "crop 10" in name else n)
    mirrored = name in ("mirrored", "all together")
    assert {pair.pose for pair in pairs} == ({"mirrored"} if mirrored else {""})


def test_quarter_turns_are_found_where_asked_for():
    image = photographs()[4]
    thumbs = np.stack([thumb(image), thumb(image.transpose(Image.Transpose.ROTATE_90))])
    assert find_pairs(of_thumbs(thumbs)) == ()
    (pair,) = find_pairs(of_thumbs(thumbs), turned=True)
    assert pair.pose == "turned" and pair.similarity > 0.98


def test_skies_white_backgrounds_and_frames_are_no_copies_of_one_another():
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 64)[:, None] * np.ones((64, 64))
    skies = [120 + 8 * i + (40 + 4 * i) * ramp + rng.normal(0, 1.5, (64, 64)) for i in range(8)]
    whites = [250 - i + rng.normal(0, 1, (64, 64)) for i in range(8)]
    framed = []
    for image in photographs()[6:14]:  # the first ones hold both ends of one roof, mirrored
        sheet = np.full((64, 64), 255.0)
        sheet[5:-5, 5:-5] = np.asarray(image.convert("L").resize((54, 54)), float)
        framed.append(sheet)
    images = [Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)) for a in (*skies, *whites, *framed)]
    assert find_pairs(of_thumbs(np.stack([thumb(image) for image in images]))) == ()


def test_digits_of_one_kind_are_no_copies_though_all_are_alike():
    from sklearn.datasets import load_digits

    images = np.asarray(load_digits(return_X_y=True)[0]).reshape(-1, 8, 8)[:600]
    digits = [Image.fromarray((15.9 * image).astype(np.uint8)) for image in images]
    thumbs = np.stack([thumb(image) for image in digits])
    assert least_similarity(luminance(thumbs)) > 0.95
    assert find_pairs(of_thumbs(thumbs)) == ()
    assert len(find_pairs(of_thumbs(thumbs), least=0.85)) > 100


def test_the_description_is_the_weighted_cosine_transform():
    from scipy.fft import dctn

    rng = np.random.default_rng(1)
    # Rows and columns of zero mean depend on no single axis: no gradient is taken out of them.
    grey = rng.uniform(-100, 100, (3, 32, 32))
    grey = grey - grey.mean(axis=1, keepdims=True)
    grey = (grey - grey.mean(axis=2, keepdims=True)).astype(np.float32)
    v, u = np.mgrid[:8, :8]
    spectra = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))[:, :8, :8]
    vectors = (spectra * np.hypot(u, v)).reshape(3, -1)[:, 1:]
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True) + (u**2 + v**2).sum())
    np.testing.assert_allclose(describe(grey, 8), vectors / length, atol=1e-5)


def test_a_gradient_describes_nothing():
    place = np.linspace(-1, 1, 32, dtype=np.float32)
    gradients = 100 * np.stack([place[:, None] + 0 * place, place**2 + 0 * place[:, None]])
    assert np.abs(describe(gradients, 16)).max() < 0.02


def test_same_bytes_and_same_pixels_are_told_apart(tmp_path: Path):
    image = photographs()[0]
    names, paths = saved(
        tmp_path, {"a.png": image, "b.bmp": image, "c.png": photographs()[1], "d.jpg": encoded(image, 40)}
    )
    (tmp_path / "e.png").write_bytes((tmp_path / "a.png").read_bytes())
    prints = fingerprints((*names, "e.png"), (*paths, tmp_path / "e.png"))
    pairs = find_pairs(prints)
    assert [(p.first, p.second, p.kind) for p in pairs] == [(0, 1, "pixels"), (0, 3, "near"), (0, 4, "file")]
    (group,) = duplicate_groups(pairs, 5)
    assert group.members == (0, 1, 3, 4) and group.kind == "near"
    exact = find_pairs(prints, near=False)
    assert {pair.kind for pair in exact} == {"pixels", "file"}


def test_unusual_files_are_named(tmp_path: Path):
    image = photographs()[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "moving.gif", save_all=True, append_images=[photographs()[1]])
    image.save(tmp_path / "hidden.png")
    whole = (tmp_path / "hidden.png").read_bytes()
    deep = Image.fromarray(np.full((40, 40), 3000, np.uint16))
    made = {
        "cmyk.jpg": image.convert("CMYK"),
        "grey.png": image.convert("L"),
        "deep.png": deep,
        "tiny.png": image.resize((10, 10)),
        "long.png": image.resize((300, 40)),
        "wrong.jpg": whole,
        "cut.png": whole[: len(whole) // 2],
        "nothing.png": b"",
        "text.jpg": b"no image at all",
    }
    saved(tmp_path, made)
    names = (*made, "turned.jpg", "moving.gif", "absent.jpg", "hidden.png")
    prints = fingerprints(names, [tmp_path / name for name in names])
    kinds = dict(zip(names, prints.kinds, strict=True))
    assert kinds["cmyk.jpg"] == ("CMYK",)
    assert kinds["grey.png"] == ("grey",)
    assert set(kinds["deep.png"]) == {"grey", "16-bit"}
    assert kinds["tiny.png"] == ("tiny",)
    assert kinds["long.png"] == ("elongated",)
    assert kinds["wrong.jpg"] == ("misnamed",)
    assert kinds["turned.jpg"] == ("EXIF-rotated",)
    assert kinds["moving.gif"] == ("animated",)
    assert kinds["hidden.png"] == ()
    problems = {name: problem for name, problem in zip(names, prints.problems, strict=True) if problem}
    assert problems.keys() == {"cut.png", "nothing.png", "text.jpg", "absent.jpg"}
    assert "0 bytes" in problems["nothing.png"] and problems["absent.jpg"] == "no such file"
    assert not find_pairs(prints.joined(prints), near=False)[0].first  # unreadable files pair with nothing
    assert all(not prints.problems[p.first] for p in find_pairs(prints))


def test_a_box_is_fingerprinted_as_the_picture_it_cuts_out(tmp_path: Path):
    image = photographs()[2]
    image.save(tmp_path / "whole.png")
    image.crop((10, 20, 90, 100)).save(tmp_path / "part.png")
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    boxes = np.array([[10, 20, 90, 100], [60, 60, 900, 900], [200, 200, 300, 300], [0, 0, 80, 80]], float)
    prints = fingerprints(("w#0", "w#1", "w#2", "p"), (whole, whole, whole, part), boxes)
    assert prints.pixels[0] == prints.pixels[3] and prints.sha256[0] != prints.sha256[3]
    assert prints.sizes_px[:2].tolist() == [[80, 80], [80, 80]]
    assert "no pixel" in prints.problems[2]


def test_what_was_seen_is_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images, cache = tmp_path / "images", tmp_path / "cache"
    images.mkdir()
    first = fingerprints(*saved(images, {"a.png": photographs()[0], "b.png": photographs()[1]}), cache=cache)
    (images / "a.png").rename(images / "moved.png")
    seen: list[Path] = []
    look = module.inspect_image
    monkeypatch.setattr(module, "inspect_image", lambda path, *rest: seen.append(path) or look(path, *rest))
    moved = ("moved.png", "b.png"), (images / "moved.png", images / "b.png")
    again = fingerprints(*moved, cache=cache)
    assert seen == []
    assert again.pixels == first.pixels and (again.thumbs == first.thumbs).all()
    photographs()[2].save(images / "b.png")
    changed = fingerprints(*moved, cache=cache)
    assert seen == [images / "b.png"] and changed.pixels[1] != first.pixels[1]
    (cache / "fingerprints.npz").write_bytes(b"damaged")
    assert fingerprints(*moved, cache=cache).pixels == changed.pixels


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="different lengths"):
        of_thumbs(np.zeros((3, 16, 16), np.uint8))


def test_union_find_joins_chains():
    assert join(6, [(0, 3), (4, 3), (2, 5)]) == ((0, 3, 4), (1,), (2, 5))
    assert join(2, [(), (1,)]) == ((0,), (1,))
