"""ncnn's files are read number by number, and what is not such a file is refused in one line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from falldet.model.weights.ncnn import read_ncnn
from suite.errors import BadInput

PARAM = """7767517
4 4
Input            data   0 1 data
Convolution      first  1 1 data a 0=4 1=3 3=2 4=1 5=1 6=108 9=2 -23310=1,1.000000e-01
ConvolutionDepthWise second 1 1 a b 0=4 1=3 11=1 5=0 6=12 7=4
Convolution      third  1 1 b c 0=1 1=1 5=1 6=3
"""
HALF = struct.pack("<I", 0x01306B47)


def _write(
    folder: Path, param: str = PARAM, cut: int = 0, more: bytes = b""
) -> tuple[Path, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    first, bias, second, third = (rng.normal(size=n).astype(np.float32) for n in (108, 4, 12, 3))
    numbers = bytes(4) + first.tobytes() + bias.tobytes()
    numbers += HALF + second.astype(np.float16).tobytes()
    numbers += HALF + third.astype(np.float16).tobytes() + b"\0\0" + struct.pack("<f", 7.0)
    (folder / "net.param").write_text(param)
    (folder / "net.bin").write_bytes((numbers + more)[: len(numbers) + len(more) - cut])
    return folder / "net.param", [first, bias, second, third]


def test_reads_float32_and_padded_float16_in_the_order_of_the_file(tmp_path: Path) -> None:
    path, (first, bias, second, third) = _write(tmp_path)
    layers = read_ncnn(path)
    assert list(layers) == ["first", "second", "third"]
    assert layers["first"].stride == 2 and layers["second"].groups == 4
    assert layers["first"].bias is not None and layers["second"].bias is None
    np.testing.assert_array_equal(layers["first"].weight, first.reshape(4, 3, 3, 3))
    np.testing.assert_array_equal(layers["first"].bias, bias)
    np.testing.assert_array_equal(layers["second"].weight, second.astype(np.float16).reshape(4, 1, 1, 3))
    np.testing.assert_array_equal(layers["third"].weight, third.astype(np.float16).reshape(1, 3, 1, 1))
    np.testing.assert_array_equal(layers["third"].bias, np.array([7], np.float32))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("7767517", "7767518", "first line"),
        ("4 4", "5 4", "5 layers announced, 4 found"),
        ("6=108", "6=107", "107 weights do not make 4 filters"),
        ("Convolution      third", "InnerProduct third", "is a InnerProduct"),
        ("third", "first", "second layer first"),
        ("7=4", "x=4", "not a setting"),
    ],
)
def test_a_foreign_param_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path, _ = _write(tmp_path, PARAM.replace(old, new))
    with pytest.raises(BadInput, match=message):
        read_ncnn(path)


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"net\.bin: cut short: it ends inside third"):
        read_ncnn(_write(tmp_path, cut=1)[0])
    with pytest.raises(BadInput, match="5 bytes are left"):
        read_ncnn(_write(tmp_path, more=b"12345")[0])
    path, _ = _write(tmp_path)
    numbers = path.with_suffix(".bin")
    numbers.write_bytes(struct.pack("<I", 0x000D4B38) + numbers.read_bytes()[4:])
    with pytest.raises(BadInput, match="8-bit weights in first"):
        read_ncnn(path)
    path.write_bytes(b"\xff\xd8 a picture")
    with pytest.raises(BadInput, match="not text"):
        read_ncnn(path)
    numbers.unlink()
    with pytest.raises(BadInput, match=r"net\.bin: no such file"):
        read_ncnn(path)


def test_reads_the_whole_of_nanodet(data) -> None:
    layers = read_ncnn(data("falldet/weights") / "nanodet_m.param")
    assert sum(layer.weight.size for layer in layers.values()) > 900_000
    first = next(iter(layers.values()))
    assert first.weight.shape == (24, 3, 3, 3) and first.stride == 2
    assert all(np.isfinite(layer.weight).all() and layer.bias is not None for layer in layers.values())
