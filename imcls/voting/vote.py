"""Soft vote: the mean of the members' calibrated probabilities, weighted.

    p(image) = sum_m  w_m * softmax(z_m(image) / T_m)          sigmoid for multi-label
    t        = sum_m  w_m * sigmoid(threshold_m / T_m)         multi-label: yes where p > t

z_m are the logits of member m, T_m its temperature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imcls.config import TtaOptions
from imcls.data.normalise import normalise
from imcls.member import Member, MemberCard, Preparation, load_member
from imcls.voting.tta import judge_views
from suite.errors import BadInput

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Votes:
    """Probabilities (n, k) float64, and for multi-label those above which it is a yes, (n, k)."""

    probabilities: np.ndarray
    thresholds: np.ndarray | None


@dataclass(frozen=True)
class Voters:
    """Members that judge together; ``weights`` add up to 1. ValueError where they do not fit each other."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.members or len(self.members) != len(self.weights):
            raise ValueError(f"{len(self.weights)} weights for {len(self.members)} members")
        if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError("weights are shares that add up to 1")

    @property
    def card(self) -> MemberCard:
        """That of the first member; classes and the kind of labels are the same for all."""
        return self.members[0].card

    @property
    def preparations(self) -> tuple[Preparation, ...]:
        """The ways images must be prepared for the members, each once."""
        return tuple(dict.fromkeys(member.card.preparation for member in self.members))

    def to(self, device: str | torch.device) -> Voters:
        """The same voters with their weights on ``device``."""
        for member in self.members:
            member.model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def vote(self, squares: Mapping[Preparation, Tensor], tta: TtaOptions) -> Votes:
        """What all say of n images: uint8 (n, 3, px, px) RGB for each preparation."""
        said = [member_logits(member, squares[member.card.preparation], tta) for member in self.members]
        probabilities, thresholds = self.soft_vote(said)
        limits = thresholds.expand_as(probabilities).cpu().numpy() if self.card.multi_label else None
        return Votes(probabilities.cpu().numpy(), limits)

    def soft_vote(self, said: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Probabilities (n, k), thresholds (k,) or (n, 1), float64, of the members' logits and thresholds."""
        shares, limits = [], []
        for (logits, threshold), (_, card), weight in zip(said, self.members, self.weights, strict=True):
            scaled = logits.double() / card.temperature
            of_member = torch.sigmoid(scaled) if card.multi_label else torch.softmax(scaled, dim=1)
            shares.append(weight * of_member)
            limits.append(weight * torch.sigmoid(threshold.double() / card.temperature))
        return sum(shares[1:], shares[0]), sum(limits[1:], limits[0])


def load_voters(
    folders: Sequence[Path], weights: Sequence[float] | None = None, *, allow_code: bool = False
) -> Voters:
    """Members read from their ``folders``, voting alike where no ``weights`` are given.

    BadInput where one cannot be read, or its classes are not those of the first.
    """
    members = tuple(load_member(folder, allow_code=allow_code) for folder in folders)
    for folder, member in zip(folders, members, strict=True):
        first, card = members[0].card, member.card
        if (card.classes, card.multi_label) != (first.classes, first.multi_label):
            raise BadInput(f"has other classes than {folders[0]}", where=folder)
    given = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    return Voters(members, tuple(float(share) for share in given / given.sum()))


def member_logits(member: Member, squares: Tensor, tta: TtaOptions) -> tuple[Tensor, Tensor]:
    """Logits (n, k) of one member for uint8 (n, 3, px, px) RGB, and its thresholds, (n, 1) or (k,)."""
    model, card = member
    device = next(model.parameters()).device
    images = normalise(squares.to(device), card.mean, card.std, channels_last=False)
    if tta == TtaOptions():
        output = model(images)
    else:
        output = judge_views(model, images, tta, card.image_px, multi_label=card.multi_label)
    logits, limits = output.logits, output.thresholds
    if limits is None:
        limits = logits.new_tensor(card.thresholds or [0.0] * len(card.classes))
    return logits, limits


def as_logits(probabilities: np.ndarray, multi_label: bool) -> np.ndarray:
    """float32 logits that give these probabilities back through softmax, or sigmoid for multi-label."""
    yes = np.log(np.maximum(probabilities, _SMALLEST))
    return (yes - np.log(np.maximum(1 - probabilities, _SMALLEST)) if multi_label else yes).astype(np.float32)
