"""Every random number generator a training step may draw from: seeded, captured and put back together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and PyTorch (CPU and GPUs), differently on each rank."""
    word = int(np.random.SeedSequence([seed % 2**64, rank]).generate_state(1)[0])
    random.seed(word)
    np.random.seed(word)  # noqa: NPY002  legacy, but what third parties draw from
    torch.manual_seed(word)


def capture() -> dict[str, Any]:
    """The state of all of them, as tensors and plain values that ``weights_only`` loading takes."""
    version, words, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002
    mt = legacy["state"]
    return {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": {
            "keys": torch.from_numpy(mt["key"].astype(np.int64)),
            "position": int(mt["pos"]),
            "gauss": [int(legacy["has_gauss"]), float(legacy["gauss"])],
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(state: dict[str, Any]) -> None:
    """Put back what :func:`capture` gave."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    mt = state["numpy"]
    keys = mt["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, mt["position"], *mt["gauss"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def untouched() -> Iterator[None]:
    """What is drawn in the block leaves no trace outside it."""
    state = capture()
    try:
        yield
    finally:
        restore(state)
