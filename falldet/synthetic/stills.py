"""Stills of films as training pictures: rooms seen by a camera that hangs on the wall, people in the middle
of what they do. Their films are of seeds of their own, so that none is one that alarms are judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from falldet.synthetic.camera import View
from falldet.synthetic.film import Film, FilmOptions, draw_film
from falldet.synthetic.film_render import StillRoom
from falldet.synthetic.options import SyntheticOptions
from falldet.synthetic.render import Rendered
from falldet.synthetic.scene import Placed

SEEDS = 1_000_000
"""Films of stills have seeds from here on; `falldet eval-events` and the benchmarks use small ones."""
_FALL_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Still:
    """A moment of a film, not developed yet."""

    people: list[Placed]
    view: View
    rendered: Rendered


class Stills:
    """Moments of films; ``stills`` pictures with numbers one after another are of one film."""

    def __init__(self, options: SyntheticOptions) -> None:
        self.options = options
        self._film: tuple[int, Film, StillRoom] | None = None

    def has(self, index: int) -> bool:
        """Whether picture ``index`` is a still."""
        rng = np.random.default_rng([self.options.seed, 4, index // self.options.stills])
        return bool(rng.random() < self.options.films)

    def take(self, index: int, rng: np.random.Generator) -> Still:
        """A moment of picture ``index``'s film: first which act, then when in it, so that what is short is
        seen as often as what is long."""
        film, room = self._of(index // self.options.stills)
        falls = [act for act in film.acts if act.kind in ("fall", "unclear")]
        others = [act for act in film.acts if act not in falls]
        kinds = sorted({act.kind for act in others})
        if falls and (not others or rng.random() < _FALL_SHARE):
            act = falls[rng.integers(len(falls))]
        else:
            kind = kinds[rng.integers(len(kinds))]
            same = [act for act in others if act.kind == kind]
            act = same[rng.integers(len(same))]
        time_s = min(float(rng.uniform(act.start_s, act.end_s)), film.seconds)
        people = film.staged(time_s)
        return Still(people, film.view, room.picture(people))

    def _of(self, number: int) -> tuple[Film, StillRoom]:
        if self._film is None or self._film[0] != number:
            o = self.options
            aspect = o.aspects[number % len(o.aspects)]
            w = o.image_px if aspect >= 1 else round(o.image_px * aspect)
            h = round(o.image_px / aspect) if aspect >= 1 else o.image_px
            film = draw_film(FilmOptions(seed=SEEDS + o.seed, width_px=w, height_px=h), number)
            self._film = number, film, film.still()
        return self._film[1:]
