"""A trained detector as one file: weights as safetensors, and in its header a card with all that is needed
to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import nn

from falldet.detections import CLASSES, Detecting, Detections
from falldet.model.build import build_detector
from falldet.model.options import CascadeOptions, DenseOptions, PixelOptions
from falldet.model.options import Detector as DetectorOptions
from falldet.model.pixels import Input, batched, to_input
from suite.config import Config
from suite.errors import BadInput
from suite.files import atomic_write

SUFFIX = ".safetensors"
_CARD = "falldet.card"
_AGAIN = "copy it again, or train it again"
Score = Annotated[float, Field(ge=0, le=1)]


class ModelCard(Config):
    """What a model is: everything but the weights."""

    version: Literal[1] = 1
    name: str = "detector"
    classes: tuple[str, ...] = CLASSES
    """Names in the order of the outputs."""
    model: DetectorOptions = DenseOptions()
    pixels: PixelOptions = PixelOptions()
    threshold: Score = 0.5
    """Score from which a person is called fallen, chosen on pictures that no figure is reported on."""
    not_fallen_floor: Score = 0.3
    """Score from which somebody who is not fallen counts as found."""
    trained_on: tuple[str, ...] = ()
    """Sets it learned from."""
    licence: str = ""
    """Of the weights, as far as what they were trained on decides it."""
    settings: dict[str, str | int | float] = Field(default_factory=dict)
    """Of the training: seed, epochs, CPU seconds, versions."""


@dataclass(frozen=True, eq=False)
class Model:
    """A detector in eval mode and its card."""

    detector: nn.Module
    card: ModelCard

    def at_size(self, long_px: int) -> Model:
        """The same model looking at pictures scaled to another longer side."""
        pixels = self.card.pixels.model_copy(update={"long_px": long_px})
        return Model(self.detector, self.card.model_copy(update={"pixels": pixels}))

    @torch.no_grad()
    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        """Everybody in each picture, (h, w, 3) uint8 RGB of any sizes; boxes in the picture's own pixels.

        Pictures of one size go through the network together, so that what is found in one does not depend on
        the others.
        """
        device = next(self.detector.parameters()).device
        inputs = [to_input(picture, self.card.pixels) for picture in pictures]
        found: list[Detections] = [Detections.none(self.card.classes)] * len(inputs)
        sizes = sorted({one.size_px for one in inputs})
        for size in sizes:
            places = [k for k, one in enumerate(inputs) if one.size_px == size]
            images, sizes_px = batched([inputs[k] for k in places], self.card.pixels.divisor)
            for k, said in zip(places, self.detector(images.to(device), sizes_px), strict=True):
                found[k] = self._told(said, inputs[k], pictures[k].shape)
        return found

    def _told(self, said: tuple[torch.Tensor, ...], taken: Input, shape: Sequence[int]) -> Detections:
        boxes, scores, labels = (part.detach().cpu().numpy() for part in said)
        limit = np.array([shape[1], shape[0]] * 2, np.float32)
        inside = np.clip(boxes / np.array(taken.scale_xy * 2, np.float32), 0, limit)
        order = np.argsort(-scores, kind="stable")
        return Detections(
            inside[order].astype(np.float32),
            scores[order].astype(np.float32),
            labels[order].astype(np.int64),
            self.card.classes,
        )


def sized(model: Detecting, long_px: int | None) -> Detecting:
    """The model looking at pictures scaled to this longer side; its own where that is None. Raises BadInput
    for a model that says itself how it scales, as mmdet's do."""
    if long_px is None:
        return model
    if not isinstance(model, Model):
        what = "is not of ours, so that the size of its pictures cannot be set"
        raise BadInput(what, f"long_px {long_px}", "set it in the model's own configuration")
    return model.at_size(long_px)


def write_model(path: Path, detector: nn.Module, card: ModelCard, *, half: bool = False) -> None:
    """Write the file, whole or not at all; ``half`` stores weights in 16 bits. Raises BadInput for what is
    not finite."""
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in detector.state_dict().items()}
    if (name := _not_finite(state)) is not None:
        hint = "lower the learning rate, or clip the gradient"
        raise BadInput(f"weights of {name} are not finite", path, hint)
    if half:
        state = {name: v.half() if v.is_floating_point() else v for name, v in state.items()}
        if (name := _not_finite(state)) is not None:
            raise BadInput(f"weights of {name} are too large for 16 bits", path, "store all (half: false)")
    with atomic_write(path) as stream:
        stream.write(save(state, metadata={_CARD: card.model_dump_json()}))


def read_model(path: Path) -> Model:
    """The model of that file, on the CPU, computing in 32 bits.

    Raises BadInput where the file is missing, damaged, no model of ours, or where card and weights are of
    different architectures.
    """
    state, card = _read(Path(path))
    detector = build_detector(card.model, len(card.classes))
    wanted = detector.state_dict()
    wrong = sorted(wanted.keys() ^ state.keys())
    wrong += [name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape]
    if wrong:
        what = f"its weights are not those of the {card.model.type} detector on its card (first: {wrong[0]})"
        raise BadInput(what, path, _AGAIN)
    if (name := _not_finite(state)) is not None:
        raise BadInput(f"weights of {name} are not finite", path, _AGAIN)
    detector.load_state_dict({name: value.to(wanted[name].dtype) for name, value in state.items()})
    return Model(detector.eval(), card)


def has_card(path: Path) -> bool:
    """Whether the file is a model of ours, by its header alone."""
    return path.suffix == SUFFIX and _CARD in _header(path)


def _not_finite(state: Mapping[str, torch.Tensor]) -> str | None:
    """The first of the weights with a number that is none."""
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            return name
    return None


def _read(path: Path) -> tuple[dict[str, torch.Tensor], ModelCard]:
    from safetensors.torch import load

    header = _header(path)
    if _CARD not in header:
        hint = "weights of mmdet or detectron2 are made ours by `falldet import-weights`"
        raise BadInput("has no card of falldet", path, hint)
    try:
        card = ModelCard.model_validate_json(header[_CARD])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"its card cannot be used ({where}: {first['msg']})", path, _AGAIN) from None
    try:
        return load(path.read_bytes()), card
    except Exception as error:  # safetensors raises its own kind, which is no public class
        raise BadInput(f"is damaged ({error})", path, _AGAIN) from None


def _header(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file, without its numbers."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(length) if length < 100_000_000 else b""
        metadata = json.loads(text).get("__metadata__", {})
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", path) from None
    except (ValueError, AttributeError):
        raise BadInput("is no file of weights (safetensors), or is cut short", path, _AGAIN) from None
    return metadata if isinstance(metadata, dict) else {}


def options_of(detector: CascadeOptions | DenseOptions) -> DetectorOptions:
    """The options without what only a start needs, as a card keeps them."""
    return detector.model_copy(update={"weights": None})
