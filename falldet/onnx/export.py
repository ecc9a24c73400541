"""Export: an ONNX file that takes a picture as it is and agrees with the model on real ones, or no file.

    FILE.onnx      (h, w, 3) uint8 RGB of any size -> boxes_px, scores, labels; classes and more as metadata
    run_onnx.py    beside it: pictures in, JSON lines out; needs numpy, Pillow and onnxruntime alone

That very script, from the file to the people, is compared with `Model.detect`.
"""

from __future__ import annotations

import json
import runpy
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from falldet.detections import Detections
from falldet.model.detector import CascadeRCNN
from falldet.model.file import Model
from falldet.model.nanodet import NanoDet
from falldet.model.pixels import to_input
from falldet.onnx.agreement import (
    BOX_TOLERANCE_PX,
    LOWEST_SCORE,
    SCORE_TOLERANCE,
    Difference,
    Limits,
    difference,
)
from falldet.onnx.graph import OPSET, describe, whole_graph
from suite.data.images import read_image
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write
from suite.progress import status, track

TEMPLATE = Path(__file__).with_name("run_onnx.py")
SUFFIX, SCRIPT = ".onnx", "run_onnx.py"
FEWEST_PICTURES = 4
_MOST_OF_A_FOLDER = 50
_VARIED = 4
_PROPOSALS_LOST = 0.005
"""Share of a cascade's detections that rounding may change through the order of nearly equal proposals: noise
of 2e-7 on their logits alone loses 0.15 % (untrained R50, 2,000 detections), as many as the graph does."""


class Disagreement(SuiteError):
    """The exported detector says something else than the one it was made of; nothing was written."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the model's own over ``pictures`` pictures."""

    pictures: int
    """Those that were given, and some of them once more turned, cut, tiny and narrow."""
    people: int
    """Detections above the lowest score that both found, the same class."""
    at_the_brink: int
    """Detections that one alone told, with a score or overlap so near a limit that rounding decides."""
    missing: int
    """Detections that one alone told, without such an excuse."""
    largest_box_px: float
    """In pixels of the network's input."""
    largest_score: float
    lowest_score: float = LOWEST_SCORE
    box_tolerance_px: float = BOX_TOLERANCE_PX
    score_tolerance: float = SCORE_TOLERANCE

    def __str__(self) -> str:
        alone = f", {self.missing} found by one alone" if self.missing else ""
        return (
            f"{self.pictures} pictures, {self.people} detections{alone}: boxes differ by up to "
            f"{self.largest_box_px:.2g} px of the input (at most {self.box_tolerance_px:g}), scores by "
            f"{self.largest_score:.2g} (at most {self.score_tolerance:g})"
        )


def export(model: Model, out: Path, pictures: Path | Sequence[Path] | Sequence[np.ndarray]) -> ExportReport:
    """Write the file ``out`` and the script beside it, or nothing.

    ``pictures`` are real ones (at least 4) to compare on: a folder, files, or (h, w, 3) uint8 RGB; of a large
    folder some are taken. Raises Disagreement beyond the tolerances, BadInput for too few pictures, pictures
    without anybody, or a name that is taken.
    """
    if isinstance(pictures, Path):
        pictures = _taken_from(pictures)
    if len(pictures) < FEWEST_PICTURES:
        what = f"{len(pictures)} pictures to compare on, {FEWEST_PICTURES} are wanted"
        raise BadInput(what, hint="name a folder of typical pictures with --check")
    script = out.with_name(SCRIPT)
    _refuse_others(out, script)
    with status("Writing the graph"):
        graph = whole_graph(_known(model).to("cpu").eval(), model.card.pixels)
    describe(graph, _properties(model))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.onnx"
        file.write_bytes(graph.SerializeToString())
        report = compare(model, file, pictures)
    describe(graph, {"agreement": json.dumps(asdict(report))})
    with atomic_write(out) as stream:
        stream.write(graph.SerializeToString())
    with atomic_write(script) as stream:
        stream.write(TEMPLATE.read_bytes())
    return report


def compare(model: Model, file: Path, pictures: Sequence[Path] | Sequence[np.ndarray]) -> ExportReport:
    """The script with ``file`` against the model, on pictures and harder versions of the first ones.

    Raises Disagreement beyond the tolerances, BadInput where nobody was found, since that tells nothing.
    """
    script = SimpleNamespace(**runpy.run_path(str(TEMPLATE), run_name="exported"))
    session, _ = script.open_model(file, threads=1)
    limits, classes, differences = _limits(_known(model)), model.card.classes, []
    for number, picture in enumerate(track(list(pictures), "Comparing with the model")):
        own = picture if isinstance(picture, np.ndarray) else read_image(picture)
        exported = picture if isinstance(picture, np.ndarray) else script.read_rgb(picture)
        versions = [(own, exported)]
        if number < _VARIED:
            versions += [(harder, harder) for harder in harder_versions(own)]
        for mine, theirs in versions:
            said = Detections(*script.detect(session, theirs), classes=classes)
            scale = min(to_input(mine, model.card.pixels).scale_xy)
            differences.append(difference(model.detect([mine])[0], said, scale, limits))
    total = reduce(add, differences, Difference())
    report = ExportReport(
        len(differences),
        total.matched,
        total.at_the_brink,
        total.missing,
        round(total.largest_box_px, 7),
        round(total.largest_score, 9),
    )
    if not total.within(limits):
        raise Disagreement(f"not exported: it does not agree with the model on {report}")
    if not total.matched:
        raise BadInput(
            f"nobody was found in {len(differences)} pictures, so that nothing was compared",
            hint="name pictures that show people",
        )
    return report


def harder_versions(rgb: np.ndarray) -> Iterator[np.ndarray]:
    """A picture turned on its side, cut to odd sides, tiny, and a narrow strip."""
    height, width = rgb.shape[:2]
    yield np.ascontiguousarray(np.rot90(rgb))
    yield np.ascontiguousarray(rgb[: max(1, 2 * height // 3), : max(1, width - 1 - width % 2)])
    step = max(1, max(height, width) // 24)
    yield np.ascontiguousarray(rgb[::step, ::step])
    yield np.ascontiguousarray(rgb[height // 3 : height // 3 + max(1, width // 8)])


def _properties(model: Model) -> dict[str, str]:
    card = model.card
    return {
        "format": "falldet 1",
        "name": card.name,
        "classes": json.dumps(card.classes),
        "threshold": repr(card.threshold),
        "not_fallen_floor": repr(card.not_fallen_floor),
        "input": "picture: (h, w, 3) uint8 RGB, any size; scaled, normalised and padded inside",
        "outputs": "boxes_px (k, 4): left, top, right, bottom in the picture; scores (k,); labels (k,)",
        "pixels": card.pixels.model_dump_json(),
        "opset": str(OPSET),
        "trained_on": json.dumps(card.trained_on),
        "licence": card.licence,
    }


def _taken_from(folder: Path) -> list[Path]:
    """Pictures of a folder, evenly through their names."""
    from falldet.looking.sources import PictureSource, open_source  # which reads videos too

    source = open_source(str(folder))
    if not isinstance(source, PictureSource):
        raise BadInput("is not a folder of pictures", folder, f"{FEWEST_PICTURES} pictures are wanted")
    paths = [path for _, path in source.files]
    return paths[:: -(-len(paths) // _MOST_OF_A_FOLDER)]


def _known(model: Model) -> NanoDet | CascadeRCNN:
    assert isinstance(model.detector, NanoDet | CascadeRCNN)
    return model.detector


def _limits(detector: NanoDet | CascadeRCNN) -> Limits:
    if isinstance(detector, NanoDet):
        options, lost = detector.options, 0.0
    else:
        options, lost = detector.roi_head.options, _PROPOSALS_LOST
    return Limits(options.score, options.nms_iou, options.most, lost)


def _refuse_others(out: Path, script: Path) -> None:
    if out.suffix != SUFFIX:
        raise BadInput(f"does not end in {SUFFIX}", out)
    if out.exists():
        raise BadInput("exists already", out, "choose another name or remove it")
    if script.exists() and not script.read_bytes().startswith(TEMPLATE.read_bytes().splitlines()[0]):
        raise BadInput(
            "is another file, where the script that runs the model is to lie", script, "choose a folder"
        )
