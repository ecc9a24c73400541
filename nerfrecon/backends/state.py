"""What a training goes on from, as arrays: what all backends check and write alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from nerfrecon.render.occupancy import Occupancy
from suite.errors import BadInput

PRIOR = "prior"
"""Signed distance of cell centres that a signed distance is drawn to, 16 bits."""


def refuse_other_shapes(
    state: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], cells: int
) -> None:
    """BadInput where a parameter is missing, or it or one of its moments has another shape."""
    for name, shape in shapes.items():
        for key in (name, f"adam.m.{name}", f"adam.v.{name}"):
            if key not in state and key == name:
                raise BadInput(f"the state has no {name}", hint="it is of another field")
            if key in state and state[key].shape != shape:
                raise BadInput(
                    f"{key} has shape {state[key].shape}, the field's has {shape}",
                    hint="use the field's options that it was trained with",
                )
    found = len(state["occupancy.value"]) if "occupancy.value" in state else cells
    if found != cells:
        raise BadInput(
            f"the state has {found} cells of occupancy", hint="keep occupancy_resolution as it was"
        )


def occupancy_arrays(occupancy: Occupancy) -> dict[str, np.ndarray]:
    """Values, allowed and occupied cells under their names."""
    return {
        "occupancy.value": occupancy.value.cpu().numpy().copy(),
        "occupancy.allowed": occupancy.allowed.cpu().numpy().astype(np.uint8),
        "occupancy.occupied": occupancy.occupied.cpu().numpy().astype(np.uint8),
    }


def occupancy_from(state: Mapping[str, np.ndarray], device: torch.device) -> Occupancy:
    """The way back."""
    return Occupancy(
        torch.tensor(state["occupancy.value"], device=device),
        torch.tensor(state["occupancy.allowed"].astype(bool), device=device),
        torch.tensor(state["occupancy.occupied"].astype(bool), device=device),
    )
