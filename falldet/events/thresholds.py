"""How a watch decides whether a look says fallen: by evidence that was learned, or by the detector's score.

What suits single pictures is too strict where several looks must agree: scores for watching are chosen for
themselves. Those below were chosen on drawn films of seeds 1001 and 1002 at two looks a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from falldet.events.options import EventOptions

if TYPE_CHECKING:
    from falldet.detections import Card
    from falldet.events.lying import LyingModel

WATCHING = "light"
"""The shipped model that watches."""
_OF_SHIPPED = {"light": 0.50, "light_cascade": 0.30}
_BY_TRACK = {"looks": 2, "of": 3, "min_duration_s": 0.35, "window_s": 1.15}


@dataclass(frozen=True)
class Decision:
    """``threshold`` is of the probability that ``lying`` gives, of the detector's score where that is None;
    ``long_px`` the size of pictures that it was chosen at (None: the detector's own). ``options`` have the
    N of M looks that suit it, where nobody gave others."""

    options: EventOptions
    lying: LyingModel | None
    threshold: float
    long_px: int | None


def decision(options: EventOptions, model: str, card: Card) -> Decision:
    """For a detector that was asked for as ``model``, a shipped one by its name, and has this ``card``."""
    from falldet.events.lying import shipped_lying

    learned = shipped_lying() if options.evidence != "score" else None
    if learned is not None and options.evidence == "auto":
        names = {model, getattr(card, "name", None)}  # a run of somebody's may be called as a shipped one
        learned = learned if names == {learned.learned.get("detector")} else None
    if learned is None:
        return Decision(options, None, options.threshold or watch_threshold(model, card.threshold), None)
    long_px = int(learned.learned["long_px"])
    return Decision(by_track(options), learned, options.threshold or learned.threshold, long_px)


def by_track(options: EventOptions) -> EventOptions:
    """With fewer looks that must agree, where nobody said how many: each tells of seconds already."""
    return options if options.model_fields_set & _BY_TRACK.keys() else options.model_copy(update=_BY_TRACK)


def watch_threshold(model: str, own: float | int) -> float:
    """The score from which a look says fallen: chosen for a shipped ``model``, by its name there; else the
    model's own."""
    return _OF_SHIPPED.get(model, float(own))
