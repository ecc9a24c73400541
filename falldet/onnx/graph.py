"""The file: preparation and network joined into one graph, a picture in, people in its pixels out."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import jaxtyping
import torch

from falldet.model.detector import CascadeRCNN
from falldet.model.nanodet import NanoDet
from falldet.model.options import PixelOptions
from falldet.onnx.network import OnePicture, example
from falldet.onnx.preparation import IMAGES, PICTURE_SIZE, SIZE, preparation_graph
from suite.errors import SuiteError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 19
"""The first with DeformConv, which ONNX Runtime has on the CPU."""
OUTPUTS = ("boxes_px", "scores", "labels")
_MOST_PX = 2**14
_MOST_BYTES = 2**31 - 1


def whole_graph(detector: NanoDet | CascadeRCNN, pixels: PixelOptions) -> ModelProto:
    """(h, w, 3) uint8 RGB of any size -> boxes (k, 4) in its pixels, scores (k,), labels (k,).

    Raises SuiteError where the exporter cannot follow the network.
    """
    from onnx import checker, compose

    network = _network_graph(detector, pixels.divisor)
    preparation = preparation_graph(pixels, OPSET)
    preparation.ir_version = network.ir_version
    links = [(name, name) for name in (IMAGES, SIZE, PICTURE_SIZE)]
    model = compose.merge_models(preparation, network, io_map=links)
    if model.ByteSize() > _MOST_BYTES:
        raise SuiteError("the graph would be larger than 2 GiB, which ONNX cannot hold in one file")
    _forget_where_it_was_made(model)
    checker.check_model(model)
    return model


def describe(model: ModelProto, properties: Mapping[str, str]) -> None:
    """Add properties, which readers of the file see without any other: classes, threshold, ..."""
    from onnx import helper

    kept = {prop.key: prop.value for prop in model.metadata_props}
    del model.metadata_props[:]
    helper.set_model_props(model, kept | dict(properties))


def _network_graph(detector: NanoDet | CascadeRCNN, divisor: int) -> ModelProto:
    steps = _MOST_PX // divisor
    rows, columns = (divisor * torch.export.Dim(name, min=2, max=steps) for name in ("rows", "columns"))
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                OnePicture(detector).eval(),
                example(divisor),
                dynamo=True,
                dynamic_shapes=({2: rows, 3: columns}, None, None),
                opset_version=OPSET,
                input_names=[IMAGES, SIZE, PICTURE_SIZE],
                output_names=list(OUTPUTS),
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise SuiteError(f"this detector cannot be written as ONNX ({reason})") from error
    assert program is not None
    return program.model_proto


def _forget_where_it_was_made(model: ModelProto) -> None:
    """Drop the exporter's notes: they hold stack traces with the paths of this machine."""
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        for field in ("metadata_props", "doc_string"):
            part.ClearField(field)
    del graph.value_info[:]  # shapes between, which a reader infers


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's progress on stdout, its warnings, and checks of shapes that are symbols now."""
    silent, checked = logging.root.manager.disable, jaxtyping.config.jaxtyping_disable
    logging.disable(logging.ERROR)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", checked)
        logging.disable(silent)
