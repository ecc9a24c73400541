"""One ONNX graph of all that follows preprocessing: normalisation, members, calibrated soft vote."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from imcls.config import TtaOptions
from imcls.voting.vote import Voters, member_logits
from suite.errors import BadInput, SuiteError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
INPUT, OUTPUTS = "images", ("probabilities", "logits", "thresholds")
_NO_VIEWS = TtaOptions()
_SMALLEST = 1e-12
_MOST_BYTES = 2**31 - 1


class VoteGraph(nn.Module):
    """uint8 (n, 3, px, px) RGB -> probabilities (n, k), logits (n, k), for multi-label thresholds (n, k).

    The logits are the model's own; those of several members are the logits of their vote. Thresholds are
    probabilities above which a label is a yes.
    """

    def __init__(self, voters: Voters) -> None:
        super().__init__()
        self.voters = voters
        self.models = nn.ModuleList(member.model for member in voters.members)

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
        said = [member_logits(member, images, _NO_VIEWS) for member in self.voters.members]
        probabilities, thresholds = self.voters.soft_vote(said)
        if len(said) == 1:
            logits = said[0][0]
        else:
            inner = probabilities.clamp(_SMALLEST, 1 - _SMALLEST)
            logits = (torch.logit(inner) if self.voters.card.multi_label else inner.log()).float()
        if not self.voters.card.multi_label:
            return probabilities.float(), logits
        return probabilities.float(), logits, thresholds.expand_as(probabilities).float()


def write_onnx(path: Path, voters: Voters) -> None:
    """Write the graph with a free batch size. Raises BadInput where members want different images."""
    if len(voters.preparations) > 1:
        sizes = " and ".join(f"{way.image_px} px {way.fit} {way.crop_share:g}" for way in voters.preparations)
        raise BadInput(f"the members see different images ({sizes})", hint="export them one at a time")
    graph = VoteGraph(voters.to("cpu")).eval()
    px = voters.card.image_px
    names = OUTPUTS if voters.card.multi_label else OUTPUTS[:2]
    example = torch.zeros(2, 3, px, px, dtype=torch.uint8)
    try:
        with _quietly():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(names),
            )
        assert program is not None
        model = program.model_proto
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise SuiteError(f"this model cannot be written as ONNX ({reason})") from error
    if model.ByteSize() > _MOST_BYTES:
        raise SuiteError("the graph would be larger than 2 GiB, which ONNX cannot hold in one file")
    _forget_where_it_was_made(model)
    path.write_bytes(model.SerializeToString())


def open_onnx(path: Path, threads: int = 0) -> InferenceSession:
    """The graph in ONNX Runtime on the CPU; 0 threads leaves their number to it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(session: InferenceSession, images: UInt8[np.ndarray, "n 3 h w"]) -> dict[str, np.ndarray]:
    """Every output by its name."""
    names = [output.name for output in session.get_outputs()]
    values: list[Any] = list(session.run(names, {INPUT: images}))
    return dict(zip(names, values, strict=True))


def _forget_where_it_was_made(model: Any) -> None:
    """Drop the exporter's notes: they hold stack traces with the paths of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
    for part in (*model.graph.value_info, *model.graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]


@contextlib.contextmanager
def _quietly() -> Any:
    """Without the exporter's progress on stdout and its warnings of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
