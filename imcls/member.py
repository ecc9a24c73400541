"""A trained model on disk: its weights, and a card that says all that is needed to use them.

    folder/model.safetensors    the weights
    folder/member.json          the card

Reading a member runs no code: parts of `type: custom` are built only where the caller says `allow_code`.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from jaxtyping import UInt8
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from imcls.config import ImclsConfig
from imcls.data.decode import decode
from imcls.data.fit import prepare_image, short_side_px
from imcls.data.options import InputOptions
from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier
from imcls.model.options import ModelOptions, MultiLabelHead
from imcls.model.weights import load_weights, save_weights
from suite.config import Config
from suite.errors import BadInput
from suite.files import atomic_write, sha256

WEIGHTS, CARD = "model.safetensors", "member.json"
_RECORDED = ("vision-suite", "torch", "torchvision", "timm")
_ANOTHER = "are not those that the card was written with"
_AGAIN = "copy the member's folder again, or train it again"
Three = tuple[float, float, float]


class Preparation(NamedTuple):
    """How an image file becomes the square that a model sees."""

    image_px: int
    fit: Literal["crop", "squash", "letterbox"]
    crop_share: float
    short_px: int

    def square(self, path: Path) -> UInt8[Tensor, "3 px px"]:
        """The file as uint8 RGB. BadInput where it cannot be read."""
        options = InputOptions(image_px=self.image_px, fit=self.fit, crop_share=self.crop_share)
        return prepare_image(decode(path, self.short_px), options, self.image_px)


class MemberCard(Config):
    """What a member is: everything but the weights."""

    version: Literal[1] = 1
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """Names in the order of the logits."""
    image_px: Annotated[int, Field(ge=8)]
    """Side of the square that the model sees."""
    fit: Literal["crop", "squash", "letterbox"]
    """How an image becomes that square."""
    crop_share: Annotated[float, Field(gt=0, le=1)]
    """Side of the centre crop as a share of the image's shorter side."""
    short_px: Annotated[int, Field(ge=1)]
    """Shorter side to which larger images are brought first, as they were for the training."""
    mean: Three
    """Taken from red, green and blue in 0 to 1 before the model."""
    std: Three
    """What they are then divided by."""
    model: ModelOptions
    multi_label: bool = False
    thresholds: tuple[float, ...] | None = None
    """Logit of each class above which a multi-label model says yes; 0 where not given."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """What logits are divided by for calibrated probabilities."""
    fold: int | None = None
    """The fold that was held back while this member was trained."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the packages that it was trained with."""
    weights_sha256: str = ""
    """Of the file of weights; filled in as the member is written."""

    @model_validator(mode="after")
    def _fits_itself(self) -> MemberCard:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is listed twice")
        if self.thresholds is not None and len(self.thresholds) != len(self.classes):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.classes)} classes")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self

    @property
    def preparation(self) -> Preparation:
        """What an image must go through."""
        return Preparation(self.image_px, self.fit, self.crop_share, self.short_px)

    @property
    def regressed(self) -> bool:
        """Whether the model brings a threshold of its own for each image."""
        head = self.model.head
        return isinstance(head, MultiLabelHead) and head.threshold == "regressed"


class Member(NamedTuple):
    """A model in eval mode and its card."""

    model: Classifier
    card: MemberCard


def card_of(
    model: Classifier,
    config: ImclsConfig,
    classes: tuple[str, ...],
    *,
    fold: int | None = None,
    temperature: float | int = 1.0,
    thresholds: tuple[float, ...] | None = None,
    short_px: int | None = None,
) -> MemberCard:
    """The card of a model that was trained under ``config``, on images decoded to ``short_px``."""
    return MemberCard(
        classes=classes,
        image_px=config.input.image_px,
        fit=config.input.fit,
        crop_share=config.input.crop_share,
        short_px=short_px or short_side_px(config.input),
        mean=model.mean,
        std=model.std,
        model=config.model,
        multi_label=isinstance(config.model.head, MultiLabelHead),
        thresholds=thresholds,
        temperature=float(temperature),
        fold=fold,
    )


def write_member(folder: str | Path, model: Classifier, card: MemberCard) -> MemberCard:
    """Write weights and card, each whole or not at all; the card as written, with hash and versions."""
    folder = Path(folder)
    save_weights(folder / WEIGHTS, model)
    written = card.model_copy(
        update={"weights_sha256": sha256(folder / WEIGHTS), "versions": card.versions or _versions()}
    )
    rewrite_card(folder, written)
    return written


def rewrite_card(folder: str | Path, card: MemberCard) -> None:
    """Write the card alone: a temperature or thresholds that were found after the training."""
    with atomic_write(Path(folder) / CARD, "w") as stream:
        json.dump(card.model_dump(mode="json"), stream, indent=2, allow_nan=False)
        stream.write("\n")


def read_card(folder: str | Path) -> MemberCard:
    """The card of the member in ``folder``. BadInput where it is missing, damaged or of another version."""
    path = Path(folder) / CARD
    if not path.is_file():
        raise BadInput(
            f"no {CARD} here, so this is no trained member",
            where=folder,
            hint="name the folder of a run of `imcls train`, or one of its members",
        )
    try:
        return MemberCard.model_validate_json(path.read_text(encoding="utf-8"), strict=True)
    except UnicodeDecodeError:
        raise BadInput("is not text", where=path, hint=_AGAIN) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{key}: {first['msg']}".removeprefix(": "), where=path, hint=_AGAIN) from None


def load_member(folder: str | Path, *, allow_code: bool = False) -> Member:
    """The member in ``folder``, in eval mode on the CPU.

    BadInput where a file is missing or damaged, or the weights are of another model than the card's.
    """
    folder = Path(folder)
    card = read_card(folder)
    if not (folder / WEIGHTS).is_file():
        raise BadInput(f"no {WEIGHTS} beside the card", where=folder, hint=_AGAIN)
    if sha256(folder / WEIGHTS) != card.weights_sha256:
        raise BadInput(f"the weights {_ANOTHER}", where=folder / WEIGHTS, hint=_AGAIN)
    # What the backbone once started from is in the weights by now, and may be gone from the disk.
    backbone = card.model.backbone.model_copy(update={"weights": None})
    options = card.model.model_copy(update={"backbone": backbone})
    model = build_classifier(options, len(card.classes), image_px=card.image_px, allow_code=allow_code)
    model.backbone.mean, model.backbone.std = card.mean, card.std
    load_weights(folder / WEIGHTS, model)
    return Member(model.eval(), card)


def members_of(run_folder: str | Path) -> tuple[Path, ...]:
    """Folders of the members of a run, in the order of their folds; a member's own folder is itself.

    Raises BadInput where there is none.
    """
    folder = Path(run_folder)
    if (folder / CARD).is_file():
        return (folder,)
    found = [card.parent for card in folder.glob(f"members/*/{CARD}")]
    if not found:
        what = "no such folder" if not folder.is_dir() else "holds no trained members"
        raise BadInput(what, where=folder, hint="name the folder of a run of `imcls train`")
    return tuple(sorted(found, key=_in_order))


def _in_order(folder: Path) -> tuple[int, str]:
    number = folder.name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0, folder.name)


def _versions() -> dict[str, str]:
    found = {}
    for package in _RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
