"""Whatever kind of file it is, the picture is the one that `read_image` gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imcls.data.decode import decode, jpeg_header
from imcls.data.resize import resize_into, resized
from suite.data.images import read_image
from suite.errors import BadInput


def _picture(width: int = 160, height: int = 120) -> Image.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def _save(path: Path, kind: str) -> Path:
    image = _picture()
    if kind.startswith("exif"):
        exif = image.getexif()
        exif[0x0112] = int(kind[4:])
        image.save(path.with_suffix(".jpg"), quality=95, exif=exif)
        return path.with_suffix(".jpg")
    if kind == "16bit":
        grey = np.asarray(image.convert("L"), np.uint16) * 257
        Image.fromarray(grey).save(path.with_suffix(".png"))
        return path.with_suffix(".png")
    if kind == "palette":
        palette = image.convert("P")
        palette.save(path.with_suffix(".png"), transparency=3)
        return path.with_suffix(".png")
    if kind == "animated":
        image.save(path.with_suffix(".gif"), save_all=True, append_images=[image.rotate(180)])
        return path.with_suffix(".gif")
    suffix, mode = {"cmyk": (".jpg", "CMYK"), "grey_jpeg": (".jpg", "L"), "grey_png": (".png", "L"),
                    "rgba": (".png", "RGBA"), "bmp": (".bmp", "RGB"), "webp": (".webp", "RGB"),
                    "tif": (".tif", "RGB"), "progressive": (".jpg", "RGB")}[kind]  # fmt: skip
    converted = image.convert(mode)
    if mode == "RGBA":
        converted.putalpha(image.convert("L"))
    converted.save(path.with_suffix(suffix), progressive=kind == "progressive")
    return path.with_suffix(suffix)


_KINDS = [*(f"exif{o}" for o in range(1, 9)), "16bit", "palette", "animated", "cmyk", "grey_jpeg", "grey_png",
          "rgba", "bmp", "webp", "tif", "progressive"]  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
def test_every_kind_of_file_gives_the_picture_that_read_image_gives(tmp_path: Path, kind: str) -> None:
    path = _save(tmp_path / "x", kind)
    expected = read_image(path)
    np.testing.assert_array_equal(decode(path), expected)
    np.testing.assert_array_equal(decode(path, 500), expected)  # never enlarged
    small = decode(path, 60)
    assert min(small.shape[:2]) == 60 and max(small.shape[:2]) == 80 and small.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(small, resized(expected, *small.shape[:2]))


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_photographs_shrink_while_they_are_decoded(tmp_path: Path, orientation: int) -> None:
    image = _picture(1600, 1200)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.jpg", quality=95, exif=exif)
    small = decode(tmp_path / "x.jpg", 60)
    expected = resized(read_image(tmp_path / "x.jpg"), *small.shape[:2])
    assert small.shape == ((60, 80, 3) if orientation == 1 else (80, 60, 3))
    difference = np.abs(small.astype(int) - expected)
    assert difference.mean() < 1.0 and difference.max() <= 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"this is text, not an image at all", "is not an image"),
        (b"\xff\xd8\xff\xe0 rubbish", "is"),
    ],
)
def test_files_that_are_no_images_end_in_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said) as caught:
        decode(path, 100)
    assert "x.jpg" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(160, 120), (1600, 1200)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_files_are_not_taken(tmp_path: Path, size: tuple[int, int], share: float) -> None:
    for suffix in (".jpg", ".png"):
        path = tmp_path / f"x{suffix}"
        _picture(*size).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BadInput, match="cannot be decoded"):
            decode(path, 60)


def test_jpeg_header_reads_past_other_segments(tmp_path: Path) -> None:
    image = _picture(200, 90)
    exif = image.getexif()
    exif[0x010E] = "x" * 5000
    image.save(tmp_path / "x.jpg", exif=exif, progressive=True, comment=b"hello")
    assert jpeg_header(np.fromfile(tmp_path / "x.jpg", np.uint8)) == (90, 200, 3)
    assert jpeg_header(np.zeros(100, np.uint8)) is None
    assert jpeg_header(np.frombuffer(b"\xff\xd8\xff\xe0\x00\x10", np.uint8)) is None


def test_boxes_are_cut_from_the_upright_image(tmp_path: Path) -> None:
    path = _save(tmp_path / "x", "exif6")
    whole = read_image(path)
    part = decode(path, None, np.array([10.4, 20.6, 30.2, 50.0]))
    np.testing.assert_array_equal(part, whole[20:50, 10:31])
    np.testing.assert_array_equal(decode(path, None, np.array([-5.0, -5.0, 1e4, 1e4])), whole)
    with pytest.raises(BadInput, match="lies outside of the image"):
        decode(path, None, np.array([1000.0, 0.0, 1100.0, 10.0]))


@pytest.mark.parametrize("size", [(17, 40), (90, 31), (60, 80)])
def test_resize_is_torch_interpolation_with_antialias(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 45, 60, 3), dtype=np.uint8)
    out = np.empty((3, *size, 3), np.uint8)
    resize_into(images, out)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    expected = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", antialias=True)
    # the two memory orders round in different places
    assert np.abs(out.astype(int) - expected.permute(0, 2, 3, 1).numpy()).max() <= 1
