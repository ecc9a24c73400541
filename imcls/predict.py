"""Judge images that nobody has labelled: files in, names and scores out, whatever their number.

Files are decoded in threads ahead of the model, a bounded number of them; nothing but the scores is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imcls.config import TtaOptions
from imcls.member import Preparation
from imcls.predictions import Predictions
from imcls.voting.vote import Voters, as_logits
from suite.errors import BadInput

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".jfif",
    ".avif",
)
_THREADS = 4
_Squares = dict[Preparation, Tensor]


@dataclass(frozen=True)
class ImageFile:
    """An image and what it is called in the results."""

    name: str
    path: Path


@dataclass
class Unreadable:
    """Images that could not be read, each as the line that says why; filled while a folder is judged."""

    names: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def add(self, image: ImageFile, error: BadInput) -> None:
        """Note one."""
        self.names.append(image.name)
        self.lines.append(str(error))


def find_images(folder_or_files: Path | Sequence[Path]) -> tuple[ImageFile, ...]:
    """All images below a folder, sorted, named relative to it; or the files given, named as they are given.

    Raises BadInput where there is none.
    """
    if not isinstance(folder_or_files, Path):
        return tuple(ImageFile(path.as_posix(), path) for path in folder_or_files)
    folder = folder_or_files
    if folder.is_file():
        return (ImageFile(folder.name, folder),)
    if not folder.is_dir():
        raise BadInput("no such file or folder", where=folder)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise BadInput("holds no images", where=folder, hint=f"kinds looked for: {' '.join(SUFFIXES)}")
    return tuple(ImageFile(path.relative_to(folder).as_posix(), path) for path in found)


def predict_batches(
    voters: Voters,
    images: Iterable[ImageFile],
    unreadable: Unreadable,
    *,
    tta: TtaOptions | None = None,
    batch_size: int = 64,
    device: str = "cpu",
) -> Iterator[Predictions]:
    """The images in their order, a batch at a time; those that cannot be read are noted and left out.

    Raises BadInput at the end where none could be read.
    """
    voters = voters.to(device)
    views = TtaOptions() if tta is None else tta
    names: list[str] = []
    waiting: list[_Squares] = []
    judged = False
    for image, squares in _prepared(images, voters.preparations, ahead=2 * batch_size):
        if isinstance(squares, BadInput):
            unreadable.add(image, squares)
            continue
        names.append(image.name)
        waiting.append(squares)
        if len(waiting) == batch_size:
            yield _judged(voters, names, waiting, views)
            names, waiting, judged = [], [], True
    if waiting:
        yield _judged(voters, names, waiting, views)
    elif not judged:
        raise _none_readable(unreadable)


def predict(
    voters: Voters,
    images: Path | Sequence[Path],
    *,
    tta: TtaOptions | None = None,
    batch_size: int = 64,
    device: str = "cpu",
) -> tuple[Predictions, Unreadable]:
    """All images of a folder, or of a list, judged; and those that could not be read.

    Raises BadInput where none could be read.
    """
    unreadable = Unreadable()
    found = find_images(images)
    batches = list(predict_batches(voters, found, unreadable, tta=tta, batch_size=batch_size, device=device))
    return joined(batches), unreadable


def joined(batches: Sequence[Predictions]) -> Predictions:
    """All batches, at least one, as one."""
    thresholds = [batch.thresholds for batch in batches if batch.thresholds is not None]
    return replace(
        batches[0],
        names=tuple(name for batch in batches for name in batch.names),
        logits=np.concatenate([batch.logits for batch in batches]),
        thresholds=np.concatenate(thresholds) if thresholds else None,
    )


def _none_readable(unreadable: Unreadable) -> BadInput:
    count = len(unreadable.lines)
    first = unreadable.lines[0] if unreadable.lines else "there was none"
    return BadInput(f"none of {count} images could be read; the first: {first}")


def _judged(voters: Voters, names: list[str], waiting: list[_Squares], tta: TtaOptions) -> Predictions:
    together = {way: torch.stack([squares[way] for squares in waiting]) for way in voters.preparations}
    votes = voters.vote(together, tta)
    multi = voters.card.multi_label
    return Predictions(
        names=tuple(names),
        classes=voters.card.classes,
        logits=as_logits(votes.probabilities, multi),
        multi_label=multi,
        thresholds=None if votes.thresholds is None else as_logits(votes.thresholds, multi),
    )


def _prepared(
    images: Iterable[ImageFile], ways: Sequence[Preparation], ahead: int
) -> Iterator[tuple[ImageFile, _Squares | BadInput]]:
    """Each image with its squares, or with what is wrong with it; at most ``ahead`` wait in memory."""

    def read(image: ImageFile) -> _Squares | BadInput:
        try:
            return {way: way.square(image.path) for way in ways}
        except BadInput as error:
            return error

    remaining = iter(images)
    with ThreadPoolExecutor(_THREADS) as pool:
        started: deque[tuple[ImageFile, Future[_Squares | BadInput]]] = deque()
        for image in islice(remaining, ahead):
            started.append((image, pool.submit(read, image)))
        while started:
            image, future = started.popleft()
            yield image, future.result()
            for following in islice(remaining, 1):
                started.append((following, pool.submit(read, following)))
