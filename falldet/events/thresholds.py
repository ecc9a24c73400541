"""Thresholds for watching: what suits single pictures is too strict where several looks must agree.

Chosen with the defaults of `EventOptions` on 16 drawn films of seeds 1001 and 1002 (14 falls) at two looks a
second, where they find 9 falls with 4 false alarms by `light`. Of `light_cascade`: on 18 films of seed 1001,
9 of 16 with 8, before somebody who stood until then could fall as any other. Hence `light` is what
`falldet watch` uses.
"""

from __future__ import annotations

WATCHING = "light"
"""The shipped model that watches."""
_OF_SHIPPED = {"light": 0.50, "light_cascade": 0.30}


def watch_threshold(model: str, own: float | int) -> float:
    """The score from which a look says fallen: chosen for a shipped ``model``, by its name there; else the
    model's own."""
    return _OF_SHIPPED.get(model, float(own))
