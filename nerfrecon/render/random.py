"""Random numbers without a state: a pure function of four counters, the same in numpy, torch and C++.

Whoever needs the number of (seed, step, ray, which) computes it, so that no order of rays and no count of
threads changes a training. The recipe, in unsigned 64-bit integers that wrap, `>>` filling with zeros
(`mix` ends a step of splitmix64: Steele, Lea and Flood, OOPSLA 2014; constants of Stafford's variant 13):

    G      = 0x9E3779B97F4A7C15
    mix(z) : z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
             z = (z ^ (z >> 27)) * 0x94D049BB133111EB
             return z ^ (z >> 31)

    a    = mix(seed + G)                        seed: 0 .. 2^64 - 1
    b    = mix(a ^ ((step << 32) | ray))        step, ray: 0 .. 2^32 - 1
    c    = mix(b + (which + 1) * G)             which: 0 .. 2^32 - 1
    bits = c >> 32                              0 .. 2^32 - 1

    uniform  = float32(bits >> 8) * 2^-24       in [0, 1), exact in float32
    below(n) = (bits * n) >> 32                 0 .. n - 1; n: 1 .. 2^31

`a` depends on the seed alone and `b` on the ray: both are computed once. `Draw` lists what `which` stands
for; where a ray needs one number per sample, sample k takes `which = Draw.SAMPLE + k`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt32
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
FIRST = 0xBF58476D1CE4E5B9
SECOND = 0x94D049BB133111EB
WORD = 0xFFFF_FFFF_FFFF_FFFF


class Draw(IntEnum):
    """What a random number is for: `which`. Its `ray` is the ray of the step unless said otherwise."""

    VIEW = 0
    """The training view: `below(views)`."""
    COLUMN = 1
    """The pixel's column: `below(width)`."""
    ROW = 2
    """The pixel's row: `below(height)`."""
    JITTER = 3
    """The share of a step by which the first sample is moved."""
    BACKGROUND_RED = 4
    BACKGROUND_GREEN = 5
    BACKGROUND_BLUE = 6
    CELL_X = 7
    """Where in a cell the occupancy update looks, as a share of its side; `ray` is the index of the cell."""
    CELL_Y = 8
    CELL_Z = 9
    CELL_CHOICE = 10
    """Whether an update that looks at some of the cells looks at this one; `ray` is the index of the cell."""
    INIT = 11
    """First parameters: `step` is the number of the tensor in the state dict, `ray` the flat index in it."""
    POINT = 14
    """Which sighting of a sparse point a ray goes through; `ray` is counted from 0 for these."""
    SAMPLE = 16
    """From here on one number for each sample of a ray: the random share that gets a normal."""


def bits(
    seed: int, step: int, ray: int | np.ndarray, which: int | np.ndarray
) -> UInt32[np.ndarray, "*shape"]:
    """32 random bits for every pair of `ray` and `which`, which broadcast."""
    a = np.uint64(_mix_int((seed + GOLDEN) & WORD) ^ (step << 32))
    with np.errstate(over="ignore"):
        b = _mix(a ^ np.asarray(ray, np.uint64))
        c = _mix(b + (np.asarray(which, np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))
    return np.asarray(c >> np.uint64(32), np.uint32)


def uniform(
    seed: int, step: int, ray: int | np.ndarray, which: int | np.ndarray
) -> Float32[np.ndarray, "*shape"]:
    """Numbers in [0, 1), multiples of 2^-24."""
    return np.asarray((bits(seed, step, ray, which) >> np.uint32(8)) * np.float32(2.0**-24), np.float32)


def below(
    count: int | np.ndarray, seed: int, step: int, ray: int | np.ndarray, which: int | np.ndarray
) -> Int64[np.ndarray, "*shape"]:
    """Whole numbers 0 .. count - 1; `count` is at most 2^31."""
    return np.asarray((bits(seed, step, ray, which).astype(np.int64) * count) >> 32)


def torch_bits(seed: int, step: int, ray: Tensor, which: int | Tensor) -> Int64[Tensor, "*shape"]:
    """`bits` in torch, on the device of `ray` (int64), as int64 since torch shifts no unsigned numbers."""
    a = _signed(_mix_int((seed + GOLDEN) & WORD) ^ (step << 32))
    b = _torch_mix(ray ^ a)
    if isinstance(which, Tensor):
        c = _torch_mix(b + (which + 1) * _signed(GOLDEN))
    else:
        c = _torch_mix(b + _signed((which + 1) * GOLDEN))
    return (c >> 32) & 0xFFFF_FFFF


def torch_uniform(seed: int, step: int, ray: Tensor, which: int | Tensor) -> Float32[Tensor, "*shape"]:
    """`uniform` in torch."""
    return (torch_bits(seed, step, ray, which) >> 8).to(torch.float32) * 2.0**-24


def torch_below(
    count: int | Tensor, seed: int, step: int, ray: Tensor, which: int | Tensor
) -> Int64[Tensor, "*shape"]:
    """`below` in torch."""
    return (torch_bits(seed, step, ray, which) * count) >> 32


def _mix_int(z: int) -> int:
    z = ((z ^ (z >> 30)) * FIRST) & WORD
    z = ((z ^ (z >> 27)) * SECOND) & WORD
    return z ^ (z >> 31)


def _mix(z: np.ndarray | np.uint64) -> np.ndarray | np.uint64:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))


def _torch_mix(z: Tensor) -> Tensor:
    z = (z ^ _right(z, 30)) * _signed(FIRST)
    z = (z ^ _right(z, 27)) * _signed(SECOND)
    return z ^ _right(z, 31)


def _right(z: Tensor, by: int) -> Tensor:
    """The shift that fills with zeros: torch's own repeats the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(z: int) -> int:
    """The same 64 bits as a signed number."""
    z &= WORD
    return z - (1 << 64) if z >> 63 else z
