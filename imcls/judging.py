"""A member looks at images of a cache: predictions, with the truth where it is known."""

from __future__ import annotations

import numpy as np
import torch

from imcls.config import ImclsConfig, TtaOptions
from imcls.data.cache import ImageCache
from imcls.data.evaluation_batches import eval_batches
from imcls.data.table import ImageTable
from imcls.member import Member
from imcls.predictions import Predictions
from imcls.voting.vote import member_logits


@torch.inference_mode()
def judge(
    member: Member,
    table: ImageTable,
    cache: ImageCache,
    rows: np.ndarray,
    config: ImclsConfig,
    tta: TtaOptions | None = None,
    fold: int | None = None,
) -> Predictions:
    """Logits of the images at ``rows`` of ``table``, in that order; ``tta`` by default the experiment's.

    ``fold`` says that the member has not seen the images of that fold, which these are.
    """
    views = config.evaluation.tta if tta is None else tta
    size = max(1, config.evaluation.batch_size)
    logits, limits = [], []
    for squares, _ in eval_batches(cache, rows, config.input, member.card.image_px, size):
        said, threshold = member_logits(member, squares, views)
        logits.append(said.float().cpu())
        limits.append(threshold.float().cpu())
    part = table.subset(rows)
    thresholds = None
    if member.card.regressed:
        thresholds = torch.cat(limits).numpy()
    elif member.card.thresholds is not None:
        thresholds = np.asarray(member.card.thresholds, np.float32)
    return Predictions(
        names=part.names,
        classes=part.classes,
        logits=torch.cat(logits).numpy() if logits else np.zeros((0, len(part.classes)), np.float32),
        labels=part.labels,
        folds=None if fold is None else np.full(len(rows), fold, np.int64),
        multi_label=part.multi_label,
        thresholds=thresholds,
    )


def joined(parts: list[Predictions]) -> Predictions:
    """Predictions of different images as one; per-class thresholds must be the same in all of them."""
    first = parts[0]

    def stacked(name: str) -> np.ndarray | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    per_image = first.thresholds is not None and first.thresholds.ndim == 2
    return Predictions(
        names=tuple(name for part in parts for name in part.names),
        classes=first.classes,
        logits=np.concatenate([part.logits for part in parts]),
        labels=stacked("labels"),
        folds=stacked("folds"),
        multi_label=first.multi_label,
        thresholds=stacked("thresholds") if per_image else first.thresholds,
    )
