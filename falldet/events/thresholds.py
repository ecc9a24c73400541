"""Thresholds for watching: what suits single pictures is too strict where several looks must agree.

Chosen together with the defaults of `EventOptions` on 18 drawn films of seed 1001 (31 minutes, 16 falls) at
two looks a second, where the same settings find 10 falls with 5 false alarms by `light`, and 9 with 8 by
`light_cascade`. Hence `light` is what `falldet watch` uses.
"""

from __future__ import annotations

WATCHING = "light_rooms"
"""The shipped model that watches."""
_OF_SHIPPED = {"light": 0.38, "light_cascade": 0.30}


def watch_threshold(model: str, own: float | int) -> float:
    """The score from which a look says fallen: chosen for a shipped ``model``, by its name there; else the
    model's own."""
    return _OF_SHIPPED.get(model, float(own))
