"""The way from a picture to the network's input as ONNX nodes, to the last bit what `pixels.to_input` gives.

OpenCV's bilinear resize of 8-bit pictures is arithmetic of whole numbers: shares of neighbours are rounded to
1/2048, a row's sums lose 4 bits, each row's part of a column's sum 16, the whole 2, with rounding
(resize.cpp, HResizeLinear and VResizeLinear). ONNX's own Resize differs by one level in a tenth of all
pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from falldet.model.options import PixelOptions

if TYPE_CHECKING:
    from onnx import ModelProto

PICTURE = "picture"
IMAGES, SIZE, PICTURE_SIZE = "images", "size_px", "picture_size_px"
"""What it gives: (1, 3, H, W) float32, padded; (height, width) of the part that is picture, and of the
picture."""
_SHARES = 2048.0


def preparation_graph(options: PixelOptions, opset: int) -> ModelProto:
    """(h, w, 3) uint8 RGB -> `IMAGES`, `SIZE`, `PICTURE_SIZE`; scaled, normalised and padded as options
    say."""
    from onnx import TensorProto, helper

    nodes = _Nodes()
    sides = nodes("Shape", PICTURE, start=0, end=2, name=PICTURE_SIZE)
    size = _scaled_size(nodes, sides, options)
    pixels = _resized(nodes, sides, size)
    channels = nodes("Transpose", nodes("Cast", pixels, to=TensorProto.FLOAT), perm=[2, 0, 1])
    if options.order == "bgr":
        channels = nodes("Gather", channels, np.array([2, 1, 0]), axis=0)
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (options.mean, options.std))
    normalised = nodes("Div", nodes("Sub", channels, mean), std)
    divisor = np.int64(options.divisor)
    beyond = nodes("Mod", nodes("Neg", size), divisor)  # has the divisor's sign, as in Python
    padded = nodes("Pad", normalised, nodes("Concat", np.zeros(4, np.int64), beyond, axis=0))
    nodes("Unsqueeze", padded, np.array([0]), name=IMAGES)
    outputs = [
        helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [1, 3, "H", "W"]),
        helper.make_tensor_value_info(SIZE, TensorProto.INT64, [2]),
        helper.make_tensor_value_info(PICTURE_SIZE, TensorProto.INT64, [2]),
    ]
    taken = helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, ["h", "w", 3])
    graph = helper.make_graph(nodes.made, "preparation", [taken], outputs, nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _scaled_size(nodes: _Nodes, sides: str, options: PixelOptions) -> str:
    """`pixels.scaled_size`, in the same double precision."""
    from onnx import TensorProto

    sides = nodes("Cast", sides, to=TensorProto.DOUBLE)
    longest, shortest = (nodes(op, sides, keepdims=0) for op in ("ReduceMax", "ReduceMin"))
    long_px, short_px = np.float64(options.long_px), np.float64(options.short_px or options.long_px)
    factor = nodes("Min", nodes("Div", long_px, longest), nodes("Div", short_px, shortest))
    rounded = nodes("Floor", nodes("Add", nodes("Mul", sides, factor), np.float64(0.5)))
    return nodes("Max", nodes("Cast", rounded, to=TensorProto.INT64), np.int64(1), name=SIZE)


def _resized(nodes: _Nodes, sides: str, size: str) -> str:
    """The picture in `size`, (h', w', 3) uint32; between, rows are flat, 3 w' numbers in one run."""
    from onnx import TensorProto

    above, below, share_above, share_below = _taps(nodes, sides, size, axis=0)
    left, right, share_left, share_right = _taps(nodes, sides, size, axis=1)
    share_left, share_right = (
        nodes("Reshape", nodes("Concat", share, share, share, axis=1), np.array([-1]))
        for share in (share_left, share_right)
    )

    def row_sums(rows: str) -> str:
        found = nodes("Gather", PICTURE, rows, axis=0)
        near = []
        for columns, share in ((left, share_left), (right, share_right)):
            flat = nodes("Reshape", nodes("Gather", found, columns, axis=1), np.array([0, -1]))
            near.append(nodes("Mul", nodes("Cast", flat, to=TensorProto.UINT32), share))
        return nodes("BitShift", nodes("Add", *near), np.uint32(4), direction="RIGHT")

    parts = [
        nodes("BitShift", nodes("Mul", row_sums(rows), share), np.uint32(16), direction="RIGHT")
        for rows, share in ((above, share_above), (below, share_below))
    ]
    total = nodes("Add", nodes("Add", *parts), np.uint32(2))
    pixels = nodes("BitShift", total, np.uint32(2), direction="RIGHT")
    return nodes("Reshape", pixels, nodes("Concat", size, np.array([3]), axis=0))


def _taps(nodes: _Nodes, sides: str, size: str, axis: int) -> tuple[str, str, str, str]:
    """Along one axis, for each new place its two neighbours (m,) and their shares of 2048 (m, 1) uint32."""
    from onnx import TensorProto

    def of_axis(pair: str) -> str:
        return nodes("Gather", pair, np.int64(axis), axis=0)

    def rounded(share: str) -> str:
        whole = nodes("Round", nodes("Mul", share, np.float32(_SHARES)))
        return nodes("Unsqueeze", nodes("Cast", whole, to=TensorProto.UINT32), np.array([1]))

    before, after = of_axis(sides), of_axis(size)
    before_f, after_f = (nodes("Cast", count, to=TensorProto.DOUBLE) for count in (before, after))
    step = nodes("Div", np.float64(1), nodes("Div", after_f, before_f))  # as OpenCV: not before / after
    places = nodes("Cast", nodes("Range", np.int64(0), after, np.int64(1)), to=TensorProto.DOUBLE)
    centres = nodes("Sub", nodes("Mul", nodes("Add", places, np.float64(0.5)), step), np.float64(0.5))
    centres = nodes("Cast", centres, to=TensorProto.FLOAT)
    floor = nodes("Floor", centres)
    last = nodes("Sub", before, np.int64(1))
    lower = nodes("Cast", floor, to=TensorProto.INT64)
    share = nodes("Sub", centres, floor)
    upper = nodes("Min", nodes("Add", lower, np.int64(1)), last)
    lower = nodes("Max", lower, np.int64(0))
    return lower, upper, rounded(nodes("Sub", np.float32(1), share)), rounded(share)


class _Nodes:
    """Writes nodes down, one a call: `nodes("Add", a, b)` is the name of a + b; arrays become constants."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.constants: list[Any] = []

    def __call__(
        self, operator: str, *inputs: str | np.ndarray | np.generic, name: str = "", **attributes: Any
    ) -> str:
        from onnx import helper

        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        name = name or f"prepare_{len(self.made)}"
        self.made.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def _constant(self, value: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"prepare_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
