"""Convolutions of a network in ncnn's format: layers in a text file (.param), numbers in another (.bin).

Facts from ncnn's documentation ("param and model file structure", "operation param weight table"): line 1
is a magic number, line 2 counts layers and blobs, then each line is `type name inputs outputs [blobs]
key=value...`. The weights of a layer follow those of the one before; four bytes say how they are stored, and
biases are float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from suite.errors import BadInput

_MAGIC = "7767517"
_FLOAT32 = (0x00000000, 0x0002C056)
_FLOAT16 = 0x01306B47
_INT8 = 0x000D4B38
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
_OTHER_WEIGHTS = (
    *("BatchNorm", "Bias", "Convolution1D", "Convolution3D", "Deconvolution", "DeconvolutionDepthWise"),
    *("Embed", "GRU", "GroupNorm", "InnerProduct", "InstanceNorm", "LSTM", "LayerNorm", "MemoryData"),
    *("MultiHeadAttention", "Normalize", "PReLU", "RNN", "Scale"),
)


@dataclass(frozen=True, eq=False)
class ConvWeights:
    """One convolution: its weights, its bias if it has one, its stride and groups."""

    weight: Float32[np.ndarray, "out in_per_group kh kw"]
    bias: Float32[np.ndarray, " out"] | None
    stride: int
    groups: int


def read_ncnn(param: Path) -> dict[str, ConvWeights]:
    """Every convolution of ``param`` and of the .bin file beside it, by name, in the order of the file.

    Raises BadInput where a file is missing, cut short or of another format, where weights are quantised, and
    where another kind of layer has weights.
    """
    param = Path(param)
    numbers = param.with_suffix(".bin")
    for path in (param, numbers):
        if not path.is_file():
            raise BadInput("no such file", where=path, hint="ncnn has two files, NAME.param and NAME.bin")
    layers = _layers(param)
    stream = _Numbers(numbers)
    found: dict[str, ConvWeights] = {}
    for line, layer in layers:
        kind, name = layer[:2]
        if kind in _OTHER_WEIGHTS:
            raise BadInput(f"layer {name} is a {kind}; only convolutions are read", where=f"{param}:{line}")
        if kind not in _CONVOLUTIONS:
            continue
        if name in found:
            raise BadInput(f"a second layer {name}", where=f"{param}:{line}")
        found[name] = _convolution(layer, f"{param}:{line}", stream)
    stream.close(len(found))
    if not found:
        raise BadInput("not one convolution", where=param)
    return found


def _layers(param: Path) -> list[tuple[int, list[str]]]:
    """Words of each layer, with the number of its line."""
    try:
        lines = param.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        raise BadInput("not an ncnn .param file (not text)", where=param) from error
    if not lines or lines[0].strip() != _MAGIC:
        raise BadInput(f"not an ncnn .param file (its first line is not {_MAGIC})", where=param)
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(count.isdigit() for count in counts):
        raise BadInput("the second line is not two counts, of layers and of blobs", where=f"{param}:2")
    layers = [(k, line.split()) for k, line in enumerate(lines[2:], start=3) if line.strip()]
    if len(layers) != int(counts[0]):
        raise BadInput(f"{counts[0]} layers announced, {len(layers)} found: cut short?", where=param)
    for k, words in layers:
        if len(words) < 4 or not (words[2].isdigit() and words[3].isdigit()):
            raise BadInput("not a layer (type, name, inputs, outputs, ...)", where=f"{param}:{k}")
    return layers


def _convolution(layer: list[str], where: str, stream: _Numbers) -> ConvWeights:
    given = _settings(layer, where)
    out, size = given.get(0, 0), given.get(6, 0)
    kernel_w = given.get(1, 0)
    kernel_h = given.get(11, kernel_w)
    groups = given.get(7, 1) if layer[0] == "ConvolutionDepthWise" else 1
    area = out * kernel_h * kernel_w
    if min(out, size, kernel_h, kernel_w, groups) < 1 or size % area or out % groups:
        raise BadInput(
            f"{size} weights do not make {out} filters of {kernel_h} x {kernel_w} in {groups} groups",
            where=where,
        )
    weight = stream.weights(size, layer[1]).reshape(out, size // area, kernel_h, kernel_w)
    bias = stream.floats(out, layer[1]) if given.get(5, 0) else None
    return ConvWeights(weight, bias, given.get(3, 1), groups)


def _settings(layer: list[str], where: str) -> dict[int, int]:
    """The whole-numbered settings of a layer; the others (arrays have keys below 0) are of no use here."""
    found = {}
    for word in layer[4 + int(layer[2]) + int(layer[3]) :]:
        key, equals, value = word.partition("=")
        try:
            if equals and int(key) >= 0 and value.lstrip("-").isdigit():
                found[int(key)] = int(value)
        except ValueError as error:
            raise BadInput(f"{word!r} is not a setting (key=value)", where=where) from error
    return found


class _Numbers:
    """The .bin file, read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = path.read_bytes()
        self._at = 0

    def weights(self, count: int, layer: str) -> Float32[np.ndarray, " count"]:
        flag = int.from_bytes(self._take(4, layer), "little")
        if flag in _FLOAT32:
            return self.floats(count, layer)
        if flag == _FLOAT16:
            halves = self._take(-(-2 * count // 4) * 4, layer)  # padded to whole words of four bytes
            return np.frombuffer(halves, "<f2", count).astype(np.float32)
        how = "8-bit weights" if flag == _INT8 else f"weights stored in an unknown way (0x{flag:08X})"
        raise BadInput(f"{how} in {layer}; only float32 and float16 are read", where=self.path)

    def floats(self, count: int, layer: str) -> Float32[np.ndarray, " count"]:
        return np.frombuffer(self._take(4 * count, layer), "<f4", count).astype(np.float32)

    def _take(self, count: int, layer: str) -> bytes:
        if self._at + count > len(self._bytes):
            raise BadInput(f"cut short: it ends inside {layer}", where=self.path)
        self._at += count
        return self._bytes[self._at - count : self._at]

    def close(self, layers: int) -> None:
        left = len(self._bytes) - self._at
        if left:
            what = f"{left} bytes are left after {layers} convolutions; it belongs to another .param file"
            raise BadInput(what, where=self.path)
