"""Where a detector's weights start from, by what the file is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from falldet.model.build import build_detector
from falldet.model.dense import DenseHead
from falldet.model.detector import CascadeRCNN
from falldet.model.file import has_card, read_model
from falldet.model.nanodet import NanoDet
from falldet.model.options import CascadeOptions, Detector, PixelOptions
from falldet.model.pan import Pan
from falldet.model.person import PersonProposals
from falldet.model.shufflenet import ShuffleNet
from falldet.model.weights.convert import start_from
from falldet.model.weights.nanodet import NANODET_PIXELS, load_nanodet
from suite.errors import BadInput

NCNN = ".param"


class Start(NamedTuple):
    """A detector before training."""

    detector: CascadeRCNN | NanoDet
    taken: tuple[str, ...]
    """Beginnings of the names of the parameters that the file of weights gave."""


def started_detector(options: Detector, classes: Sequence[str], pixels: PixelOptions | None = None) -> Start:
    """The detector with the weights its options name, or with random ones.

    Taken are a model of falldet, NanoDet-m of ncnn (a .param file with its .bin beside it), for light
    detectors, and what `import-weights` takes, for the others. Raises BadInput where the file does not fit
    the detector, or was trained on pictures with another order, mean or spread of colours than ``pixels``.
    """
    detector = build_detector(options, len(classes))
    path = options.weights
    if path is None:
        return Start(detector, ())
    if not path.is_file():
        raise BadInput("no such file", path, "model.weights names the weights to start from")
    taken: tuple[str, ...] = ("",)
    if path.suffix == NCNN:
        fed = _start_from_nanodet(detector, path)
        if isinstance(detector, CascadeRCNN):
            taken = ("backbone.", "neck.lateral_convs.", "rpn_head.head.")
    elif has_card(path):
        fed = _start_from_model(detector, path)
    elif isinstance(options, CascadeOptions):
        report = start_from(detector, path, options, classes)
        fed, taken = report.pixels, ("backbone.",) if report.fresh else taken
    else:
        hint = "name a model of falldet, or NanoDet-m in ncnn's format (.param)"
        raise BadInput("is neither, and a dense detector starts from nothing else", path, hint)
    if pixels is not None and _colours(fed) != _colours(pixels):
        hint = f"write pixels: {{order: {fed.order}, mean: {list(fed.mean)}, std: {list(fed.std)}}}"
        raise BadInput("was trained on pictures fed otherwise than `pixels` says", path, hint)
    return Start(detector, taken)


def new_parameters(detector: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of what starts from scratch, or nearly: the layers that tell classes apart."""
    if isinstance(detector, NanoDet):
        return ("bbox_head.outputs.",)
    offsets = [name for name, _ in detector.named_parameters() if ".conv_offset." in name]
    return ("roi_head.", "neck.deform_conv.", *offsets)


def depths(detector: nn.Module) -> dict[str, int]:
    """How far each parameter is from the picture: stem, stages, neck, heads; for rates that fall towards
    it."""
    stages: dict[str, int] = {}
    for name, _ in detector.named_parameters():
        part, _, rest = name.partition(".")
        first = rest.split(".")[0]
        if part == "backbone":
            stages[name] = int(first[-1]) if first.startswith(("layer", "stage")) else 0
            stages[name] -= first.startswith("stage")  # stage2 is ShuffleNet's first
        else:
            stages[name] = 5 if part == "neck" else 6
    return stages


def _colours(pixels: PixelOptions) -> tuple[object, ...]:
    return (pixels.order, *(round(value, 2) for value in (*pixels.mean, *pixels.std)))


def _start_from_nanodet(detector: CascadeRCNN | NanoDet, path: Path) -> PixelOptions:
    head: DenseHead | None = None
    if isinstance(detector, NanoDet):
        head = detector.bbox_head
    elif isinstance(detector.rpn_head, PersonProposals):
        head = detector.rpn_head.head
    backbone, neck = detector.backbone, detector.neck
    if head is None or not isinstance(backbone, ShuffleNet) or not isinstance(neck, Pan):
        what = "NanoDet-m fits a shufflenet backbone, a pan neck, and a dense head or person proposals"
        raise BadInput(what, path, "change the detector, or name other weights")
    load_nanodet(path, backbone, neck.lateral_convs, head)
    return NANODET_PIXELS


def _start_from_model(detector: nn.Module, path: Path) -> PixelOptions:
    model = read_model(path)
    given = model.detector.state_dict()
    wanted = detector.state_dict()
    wrong = sorted(wanted.keys() ^ given.keys())
    wrong += [name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape]
    if wrong:
        raise BadInput(f"is of another architecture (first: {wrong[0]})", path, "use the options of its card")
    detector.load_state_dict(given)
    return model.card.pixels
