"""What the looks at one person say together: how their scores, height and place went in the last seconds.

Nothing here depends on a camera: lengths are shares of the person's own greatest recent height H, which fades
over _TALL_S; time is in seconds, however often somebody looks. Letters: d is the log-odds of fallen less that
of not fallen; y grows downwards.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from falldet.events.familiar import Familiar
from falldet.events.follower import Followed
from falldet.events.zones import Box

LEAST_SCORE = 0.05
"""Scores are not told apart below this: detectors say nothing of them."""
FEATURES = {
    "fallen": 1, "other": -1, "d_1s": 1, "d_2s": 1, "d_4s": 1, "sure_2s": 1, "d_rise": 1, "down_share": 1,
    "height_1s": -1, "aspect_1s": 1, "aspect_rise": 1, "drop_3s": 1, "plunge": 1, "moved_1s": -1,
    "low_s": 1, "seen_up": 1, "familiar": -1, "changed_2s": 1,
}  # fmt: skip
"""What is told of a course, and whether more of it speaks for a fall (1) or against it (-1)."""
_MEANS_S = (1.0, 2.0, 4.0)
_TALL_S = 15.0
_PLUNGE_S = 10.0
_CALM_FADES = 0.4  # log-odds a second
_LOW = 0.7
_LONGEST_S = 8.0
_NEAR_S, _PAST_S = 1.3, 3.2
_CERTAIN, _CERTAIN_D = math.log(0.6 / 0.4), 1.0  # on no drawn film that thresholds were chosen on for 8 s
_STILL = 0.02  # heights a second
_SAME, _RECENT_S = 0.25, 2.2


@dataclass(frozen=True)
class _Past:
    time_s: float
    x: float
    y: float
    aspect: float


class _Mean:
    """A mean over about the last ``over_s``, of the first value alone at first."""

    def __init__(self, over_s: float) -> None:
        self._over_s, self._sum, self._weight = over_s, 0.0, 0.0

    def add(self, value: float, dt_s: float) -> float:
        keep = math.exp(-dt_s / self._over_s)
        share = 1.0 - math.exp(-max(dt_s, 0.1) / self._over_s)
        self._sum, self._weight = keep * self._sum + share * value, keep * self._weight + share
        return self._sum / self._weight


class Course:
    """One person's looks, one after the other; `add` gives what they say until now."""

    def __init__(self) -> None:
        self.newest_s = math.nan
        self.box: Box = (0.0, 0.0, 0.0, 0.0)
        self._past: deque[_Past] = deque()
        self._d = [_Mean(over_s) for over_s in _MEANS_S]
        self._sure, self._changed, self._down = _Mean(2.0), _Mean(2.0), _Mean(4.0)
        self._height, self._aspect = _Mean(1.0), _Mean(1.0)
        self._tall = self._plunge = self._low_s = 0.0
        self._fallen = _Mean(4.0)
        self.certain_s = 0.0
        """For how long scores alone have said fallen, over and over: of who lay there before we looked."""
        self.up_s = 0.0
        """How long they were seen upright."""
        self._calmest = math.inf

    def add(
        self, time_s: float, box: Box, fallen: float, other: float, familiar: float, changed: float
    ) -> list[float]:
        """The FEATURES after a look later than all before.

        ``box`` is in heights of the picture; ``familiar`` is the share of the last minute in which something
        was there, ``changed`` that of the box which is not as the picture has been.
        """
        dt = 0.0 if math.isnan(self.newest_s) else time_s - self.newest_s
        self.newest_s, self.box = time_s, box
        x1, y1, x2, y2 = box
        height, width = max(y2 - y1, 1e-3), max(x2 - x1, 1e-3)
        now = _Past(time_s, (x1 + x2) / 2, (y1 + y2) / 2, math.log(width / height))
        logits = log_odds(fallen), log_odds(other)
        d = logits[0] - logits[1]
        d_1s, d_2s, d_4s = (mean.add(d, dt) for mean in self._d)
        self._calmest = min(d_1s, self._calmest + dt * _CALM_FADES)
        self._tall = max(height, self._tall * math.exp(-dt / _TALL_S))
        while self._past and time_s - self._past[0].time_s > _PAST_S:
            self._past.popleft()
        near = [one for one in self._past if time_s - one.time_s <= _NEAR_S]
        self._plunge = max(_drop(now, near) / self._tall, self._plunge * math.exp(-dt / _PLUNGE_S))
        self._low_s = min(self._low_s + dt, _LONGEST_S) if height < _LOW * self._tall else 0.0
        certain = self._fallen.add(logits[0], dt) >= _CERTAIN and d_4s >= _CERTAIN_D
        self.certain_s = self.certain_s + dt if certain else 0.0
        if d < 0 and now.aspect < 0:
            self.up_s = min(self.up_s + dt, _LONGEST_S)
        slim = min((one.aspect for one in self._past), default=now.aspect)
        drop = _drop(now, self._past) / self._tall
        self._past.append(now)
        return [
            *logits, d_1s, d_2s, d_4s, self._sure.add(max(logits), dt),
            d_1s - self._calmest, self._down.add(float(d > 0), dt),
            math.log(self._height.add(height, dt) / self._tall),
            self._aspect.add(now.aspect, dt), max(now.aspect - slim, 0.0), drop, self._plunge,
            math.log(_STILL + _speed([*near, now]) / self._tall),
            self._low_s / _LONGEST_S, self.up_s / _LONGEST_S, familiar, self._changed.add(changed, dt),
        ]  # fmt: skip


class Courses:
    """The courses of everybody before one camera."""

    def __init__(self) -> None:
        self._of: dict[int, Course] = {}
        self._familiar = Familiar()

    def look(
        self, people: Sequence[Followed], size_px: tuple[int, int], time_s: float
    ) -> Float64[np.ndarray, "n features"]:
        """The FEATURES of each of ``people`` after this look; ``size_px`` is the picture's width, height."""
        # In heights of the picture, so that another resolution of the same camera changes nothing.
        boxes = np.array([one.box_px for one in people], np.float64).reshape(-1, 4) / size_px[1]
        said = np.zeros((len(people), len(FEATURES)))
        for k, familiar in enumerate(self._familiar.look(time_s, boxes)):
            one, (x1, y1, x2, y2) = people[k], boxes[k].tolist()
            if one.number not in self._of:
                self._of[one.number] = self._of_whom((x1, y1, x2, y2), time_s)
            course = self._of[one.number]
            said[k] = course.add(
                time_s, (x1, y1, x2, y2), one.fallen, one.other, float(familiar), one.changed
            )
        return said

    def _of_whom(self, box: Box, time_s: float) -> Course:
        """The course that a new number goes on with: of whoever was there a moment ago, else a new one.

        Who falls may be found beside the box that they had, which another number keeps for a while.
        """
        there = [
            course for course in self._of.values()
            if time_s - course.newest_s <= _RECENT_S and _shared(course.box, box) >= _SAME
        ]  # fmt: skip
        return deepcopy(max(there, key=lambda course: course.up_s)) if there else Course()

    def certain_s(self, number: int) -> float:
        """For how long scores alone have said that this person is fallen, without a doubt between."""
        return self._of[number].certain_s

    def forget(self, but: Collection[int]) -> None:
        """Nobody but those of these numbers is before the camera any more."""
        self._of = {number: course for number, course in self._of.items() if number in but}


def log_odds(score: float) -> float:
    """Of a score, within LEAST_SCORE and its mirror image."""
    share = min(max(score, LEAST_SCORE), 1.0 - LEAST_SCORE)
    return math.log(share / (1.0 - share))


def _shared(a: Box, b: Box) -> float:
    """The share of the smaller box that is in the other."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(across, 0.0) * max(down, 0.0) / max(least, 1e-9)


def _drop(now: _Past, before: Iterable[_Past]) -> float:
    """How far the middle is below the highest that it was."""
    return now.y - min(one.y for one in (*before, now))


def _speed(looks: Sequence[_Past]) -> float:
    """How far the middle went a second."""
    way = sum(math.hypot(b.x - a.x, b.y - a.y) for a, b in pairwise(looks))
    return way / max(looks[-1].time_s - looks[0].time_s, 0.1)
