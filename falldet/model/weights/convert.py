"""Weights that mmdet or detectron2 have trained, checked name by name and made ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from falldet.detections import CLASSES
from falldet.model.build import build_detector
from falldet.model.options import CascadeOptions, PixelOptions, ResNetOptions
from falldet.model.weights.architecture import PRESETS, Shapes, architecture, file_classes, named
from falldet.model.weights.classes import class_rows, cut_classes
from falldet.model.weights.names import Family, Renamed, renamed
from falldet.model.weights.origin import averaging, bottleneck_style, class_names, input_pixels
from falldet.model.weights.read import WeightsFile, read_weights
from suite.errors import BadInput, did_you_mean
from suite.files import atomic_write

_SHOWN = 3
_COUNTERS = ".num_batches_tracked"
"""Batch norms of detectors keep their statistics, so how often they were renewed is of no use."""
_OWN = "falldet.options"


@dataclass(frozen=True)
class ImportReport:
    """What a file of weights was and what became of it."""

    source: Path
    family: Family
    options: CascadeOptions
    """The detector the weights are for."""
    pixels: PixelOptions
    """How it was fed where it was trained."""
    classes: tuple[str, ...]
    rows: tuple[int, ...] | None
    """Which of the file's classes each of ours starts as; None where it has no classifier of regions."""
    file_classes: int | None
    loaded: int
    dropped: Mapping[str, int]
    """Weights left out, of each part that finds no boxes."""
    fresh: tuple[str, ...]
    """Weights the file does not hold, which therefore start at random."""
    careful: tuple[str, ...] = ()
    """What shapes do not tell and the file, or the custom of its family, says otherwise than the options."""

    def lines(self) -> list[str]:
        """For people."""
        said = [
            f"{self.source.name}: {self.family}, {named(self.options)}",
            f"{self.loaded} weights taken over",
        ]
        if self.dropped:
            parts = ", ".join(f"{part} ({count})" for part, count in self.dropped.items())
            said.append(f"left out: {parts}")
        if self.fresh:
            parts = ", ".join(sorted({name.split(".")[0] for name in self.fresh}))
            said.append(f"not in the file, so they start at random: {len(self.fresh)} weights of {parts}")
        if self.rows is not None:
            taken = ", ".join(f"{name} as {row}" for name, row in zip(self.classes, self.rows, strict=True))
            said.append(f"classes start as those of the file's {self.file_classes}: {taken}")
        pixels = self.pixels
        said.append(f"pictures: {pixels.order}, mean {pixels.mean}, std {pixels.std}")
        return said + [f"careful: {note}" for note in self.careful]

    def yaml(self) -> str:
        """The detector and its pictures as they are written in a config; what is usual is left out."""
        import yaml

        model: dict[str, Any] = {"type": "cascade"} | self.options.model_dump(
            mode="json", exclude_defaults=True
        )
        for part in ("backbone", "neck", "proposals"):
            if part in model:  # which part it is must be said, usual or not
                model[part] = {"type": getattr(self.options, part).type} | model[part]
        pixels = self.pixels.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump({"model": model, "pixels": pixels}, sort_keys=False)


def import_weights(
    path: Path,
    options: CascadeOptions | None = None,
    classes: Sequence[str] = CLASSES,
    rows: Sequence[int] | None = None,
) -> tuple[dict[str, Tensor], ImportReport]:
    """The weights in ``path`` for the detector of ``options``, by default the one they belong to.

    ``rows`` says which of the file's classes each of ours starts as; :func:`class_rows` decides where it is
    not given. The state dict holds all of the detector's weights, or where the file is of a backbone alone
    (ImageNet) the backbone's. Raises BadInput where the file is of another architecture: what it is and what
    was expected, and the first names that are missing, unexpected or of another shape.
    """
    path = Path(path)
    file = read_weights(path)
    found = renamed(file.tensors, path)
    try:
        belongs = _belongs(file, found)
        wanted = options or belongs
        count = file_classes(_shapes(found.tensors))
        chosen: tuple[int, ...] | None = None
        if count is not None:
            chosen = tuple(rows) if rows is not None else class_rows(count, class_names(file.meta), classes)
            if len(chosen) != len(classes):
                raise BadInput(f"{len(chosen)} rows for the {len(classes)} classes {', '.join(classes)}")
    except BadInput as error:
        raise BadInput(error.what, where=path, hint=error.hint) from error
    tensors = {name: t for name, t in found.tensors.items() if not name.endswith(_COUNTERS)}
    if chosen is not None:
        tensors = cut_classes(tensors, chosen)
    tensors = {name: t.to(torch.float32) for name, t in tensors.items()}
    expected = _expected(wanted, len(classes))
    fresh = _check(tensors, expected, found.family, _complaint(path, belongs, wanted))
    state = tensors | {
        name: torch.zeros(s, dtype=torch.int64) for name, s in expected.items() if name.endswith(_COUNTERS)
    }
    if fresh:
        state = {name: t for name, t in state.items() if name.startswith("backbone.")}
    pixels = input_pixels(file, found.family, wanted)
    report = ImportReport(
        path,
        found.family,
        wanted,
        pixels,
        tuple(classes),
        chosen,
        count,
        len(tensors),
        found.dropped,
        fresh,
        _careful(belongs, wanted),
    )
    return state, report


def start_from(
    detector: torch.nn.Module,
    path: Path,
    options: CascadeOptions,
    classes: Sequence[str] = CLASSES,
    rows: Sequence[int] | None = None,
) -> ImportReport:
    """Fill ``detector``, built from ``options``, with the weights in ``path``; see :func:`import_weights`."""
    state, report = import_weights(path, options, classes, rows)
    detector.load_state_dict(state, strict=not report.fresh)
    return report


def import_file(
    path: Path, out: Path, arch: str | None = None, rows: Sequence[int] | None = None
) -> ImportReport:
    """Import ``path`` for the architecture ``arch`` (of PRESETS; by default its own) and write ``out``."""
    if arch is not None and arch not in PRESETS:
        close = did_you_mean(arch, PRESETS)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(PRESETS)}"
        raise BadInput(f"no architecture is called {arch!r}", hint=hint)
    state, report = import_weights(path, None if arch is None else PRESETS[arch], rows=rows)
    write_weights(out, state, report)
    return report


def write_weights(path: Path, state: Mapping[str, Tensor], report: ImportReport) -> None:
    """Write imported weights, and what they are, as safetensors that :func:`import_weights` reads."""
    from safetensors.torch import save

    about = {
        _OWN: report.options.model_dump_json(),
        "falldet.pixels": report.pixels.model_dump_json(),
        "falldet.classes": json.dumps(report.classes),
        "falldet.source": report.source.name,
    }
    with atomic_write(path) as stream:
        stream.write(save({name: tensor.contiguous() for name, tensor in state.items()}, about))


def _belongs(file: WeightsFile, found: Renamed) -> CascadeOptions:
    """The detector that weights are of: what the file says, or what shapes and family tell."""
    if _OWN in file.meta:
        return CascadeOptions.model_validate_json(file.meta[_OWN])
    style = bottleneck_style(file.meta, found)
    return architecture(_shapes(found.tensors), style, averaging(found.family))


def _expected(options: CascadeOptions, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a detector, which is not filled for this."""
    with torch.device("meta"):
        return _shapes(build_detector(options, classes).state_dict())


def _check(
    tensors: Mapping[str, Tensor], expected: Shapes, family: Family, complaint: str
) -> tuple[str, ...]:
    """Names that may be missing, as the file is of a backbone alone; BadInput for all others."""
    wanted = {name: shape for name, shape in expected.items() if not name.endswith(_COUNTERS)}
    missing = [name for name in wanted if name not in tensors]
    if family == "imagenet":
        offsets = ".conv_offset."  # nothing deforms where ImageNet was learned; deforming starts at nothing
        fresh = tuple(name for name in missing if not name.startswith("backbone.") or offsets in name)
    else:
        fresh = ()
    lacking = [name for name in missing if name not in fresh]
    beyond = [name for name in tensors if name not in wanted]
    wrong = [
        f"{name} is {tuple(t.shape)}, not {wanted[name]}"
        for name, t in tensors.items()
        if name in wanted and tuple(t.shape) != wanted[name]
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in (("missing", lacking), ("unexpected", beyond), ("of another shape", wrong))
        if names
    ]
    if problems:
        raise BadInput(f"{complaint}: {'; '.join(problems)}")
    return fresh


def _complaint(path: Path, belongs: CascadeOptions, wanted: CascadeOptions) -> str:
    is_, expected = named(belongs), named(wanted)
    if is_ == expected:
        return f"{path}: weights do not fit {expected}"
    return f"{path}: weights of {is_}; expected were those of {expected}"


def _careful(belongs: CascadeOptions, wanted: CascadeOptions) -> tuple[str, ...]:
    said = []
    theirs, ours = belongs.backbone, wanted.backbone
    if isinstance(theirs, ResNetOptions) and isinstance(ours, ResNetOptions) and theirs.style != ours.style:
        said.append(f"these weights are of backbone.style {theirs.style}, not {ours.style}")
    if belongs.head.average != wanted.head.average:
        said.append(f"they were trained for head.average {belongs.head.average}, not {wanted.head.average}")
    return tuple(said)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
