"""Images in and out: what people's files contain, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from suite.data.images import read_counts_png, read_depth_png, read_image, write_depth_png, write_image
from suite.errors import BadInput

PICTURE = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def test_png_round_trip_is_exact_and_jpeg_is_close(tmp_path):
    write_image(tmp_path / "a.PNG", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / "a.PNG"), PICTURE)
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (1, 48, 3))
    write_image(tmp_path / "b.jpg", smooth)
    assert np.abs(read_image(tmp_path / "b.jpg").astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    # The stored pixels are the picture turned the other way round, as a phone stores them.
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    image = Image.fromarray(np.ascontiguousarray(back[orientation](PICTURE)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PICTURE)


def test_grey_of_eight_and_sixteen_bits(tmp_path):
    grey = np.array([[0, 1, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey > 100).save(tmp_path / "1.png")
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "8.png"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "16.png"), expected)
    assert read_image(tmp_path / "1.png")[0, :, 0].tolist() == [0, 0, 255, 255]


def test_transparency_lies_over_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([9, 9, 9, 0, 0, 255])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png").tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_cmyk_is_turned_into_rgb(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    r, g, b = read_image(tmp_path / "a.jpg")[1, 1].astype(int)
    assert r > 245 and g < 10 and b < 10


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (3, 2), c) for c in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), np.full((2, 3, 3), [255, 0, 0]))


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7])
def test_a_cut_file_is_refused_in_one_line(tmp_path, kind, share):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInput) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, len(data), 6):
        data[at] = rng.integers(256)
    path.write_bytes(data)
    try:
        assert read_image(path).dtype == np.uint8
    except BadInput as error:
        assert str(path) in str(error)


def test_what_is_not_an_image(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    with pytest.raises(BadInput, match=r"notes\.png: is not an image"):
        read_image(text)
    with pytest.raises(BadInput, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BadInput, match="is not a file"):
        read_image(tmp_path)
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadInput, match="floating-point"):
        read_image(tmp_path / "f.tif")


def test_write_image_refuses(tmp_path):
    with pytest.raises(BadInput, match=r"as '\.gif'"):
        write_image(tmp_path / "a.gif", PICTURE)
    assert not list(tmp_path.iterdir())


@IN_FOLDER
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.0001, 0.00025, 1 / 5000, 1e-5]))
def test_depth_counts_come_back_exactly(tmp_path, seed, unit_m):
    counts = np.random.default_rng(seed).integers(0, 65536, (6, 4)).astype(np.uint16)
    counts[0, :3] = [0, 1, 65535]
    Image.fromarray(counts).save(tmp_path / "a.png")
    depth_m = read_depth_png(tmp_path / "a.png", unit_m)
    np.testing.assert_array_equal(np.isnan(depth_m), counts == 0)
    np.testing.assert_allclose(np.nan_to_num(depth_m), counts * unit_m, rtol=1e-7)
    write_depth_png(tmp_path / "b.png", depth_m, unit_m)
    np.testing.assert_array_equal(read_counts_png(tmp_path / "b.png"), counts)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1))
def test_depth_is_kept_to_half_a_count(tmp_path, seed):
    depth_m = np.random.default_rng(seed).uniform(0.3, 6.5, (5, 5))
    write_depth_png(tmp_path / "a.png", depth_m, 0.0001)
    assert np.abs(read_depth_png(tmp_path / "a.png", 0.0001) - depth_m).max() <= 0.5e-4 + 1e-6


def test_depth_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path):
    for depth_m, message in (
        ([[7.0]], "from 7 to 7 m does not fit"),
        ([[-1.0]], "does not fit"),
        ([[np.inf]], "inf"),
    ):
        with pytest.raises(BadInput, match=message):
            write_depth_png(tmp_path / "a.png", np.array(depth_m), 0.0001)
    with pytest.raises(BadInput, match="depth unit is 0"):
        write_depth_png(tmp_path / "a.png", np.ones((2, 2)), 0.0)
    assert not list(tmp_path.iterdir())


def test_another_bit_depth_is_refused(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "rgb.png")
    Image.fromarray(PICTURE[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadInput, match="mode 'RGB', not 16-bit grey"):
        read_depth_png(tmp_path / "rgb.png", 0.001)
    with pytest.raises(BadInput, match="mode 'L', not 16-bit grey"):
        read_depth_png(tmp_path / "grey.png", 0.001)
    with pytest.raises(BadInput, match=r"empty \(0 bytes\)"):
        read_depth_png(tmp_path / "empty.png", 0.001)
