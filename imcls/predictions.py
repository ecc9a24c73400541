"""What models said of images: the currency between training, evaluation, ensembles and reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from suite.errors import BadInput
from suite.files import atomic_write

_VERSION = 1


@dataclass(frozen=True)
class Predictions:
    """Logits of n images for k classes, with the truth where it is known.

    ``logits`` (n, k) float32. ``labels`` as in ImageTable: (n,) int64, -1 unknown, or (n, k) uint8; None
    where there is no truth. ``folds`` (n,) int64 says which member judged an image that it had not seen.
    ``thresholds`` (n, 1) or (k,) float32 are on the logits' scale, for multi-label heads that bring their
    own.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    logits: np.ndarray
    labels: np.ndarray | None = None
    folds: np.ndarray | None = None
    multi_label: bool = False
    thresholds: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, k = len(self.names), len(self.classes)
        if self.logits.shape != (n, k) or self.logits.dtype != np.float32:
            raise ValueError(f"logits are ({n}, {k}) float32, got {self.logits.shape} {self.logits.dtype}")
        if self.labels is not None and self.labels.shape != ((n, k) if self.multi_label else (n,)):
            raise ValueError(f"labels of shape {self.labels.shape} do not fit {n} images")
        if self.folds is not None and self.folds.shape != (n,):
            raise ValueError(f"folds of shape {self.folds.shape} do not fit {n} images")

    def __len__(self) -> int:
        return len(self.names)

    def probabilities(self, temperature: float | int = 1.0) -> np.ndarray:
        """(n, k) float64: softmax of the logits over the temperature, or for multi-label their sigmoid."""
        scaled = self.logits.astype(np.float64) / temperature
        if self.multi_label:
            return np.exp(-np.logaddexp(0, -scaled))
        shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def decisions(self) -> np.ndarray:
        """The class of each image, (n,) int64; or (n, k) uint8 for multi-label."""
        if not self.multi_label:
            return self.logits.argmax(axis=1)
        threshold = 0.0 if self.thresholds is None else self.thresholds
        return (self.logits > threshold).astype(np.uint8)

    def subset(self, indices: np.ndarray) -> Predictions:
        """The images at ``indices``, in that order."""
        chosen = np.asarray(indices, np.int64)
        per_image = self.thresholds is not None and self.thresholds.ndim == 2
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            logits=self.logits[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            folds=None if self.folds is None else self.folds[chosen],
            thresholds=self.thresholds[chosen]
            if per_image and self.thresholds is not None
            else self.thresholds,
        )

    def write(self, path: str | Path) -> None:
        """As one .npz file, atomically."""
        arrays = {
            "version": np.array(_VERSION),
            "names": np.array(self.names, dtype=np.str_),
            "classes": np.array(self.classes, dtype=np.str_),
            "logits": self.logits,
            "multi_label": np.array(self.multi_label),
        }
        extra = {"labels": self.labels, "folds": self.folds, "thresholds": self.thresholds}
        arrays |= {key: value for key, value in extra.items() if value is not None}
        with atomic_write(path) as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def read(cls, path: str | Path) -> Predictions:
        """What :meth:`write` wrote. Raises BadInput for a file that is missing or no predictions."""
        path = Path(path)
        if not path.is_file():
            raise BadInput("no such file", where=path, hint="name a predictions file or a run's folder")
        try:
            with np.load(path, allow_pickle=False) as stored:
                if int(stored["version"]) != _VERSION:
                    raise BadInput("predictions of another version", where=path)
                return cls(
                    names=tuple(str(name) for name in stored["names"]),
                    classes=tuple(str(name) for name in stored["classes"]),
                    logits=stored["logits"],
                    labels=stored.get("labels", None),
                    folds=stored.get("folds", None),
                    multi_label=bool(stored["multi_label"]),
                    thresholds=stored.get("thresholds", None),
                )
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise BadInput(f"cannot be read as predictions ({error})", where=path) from None
