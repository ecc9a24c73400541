"""Samples along rays to what a pixel sees."""

from nerfrecon.ops.compositing.reference import Weights, accumulate, exclusive_sum, weigh

__all__ = ["Weights", "accumulate", "exclusive_sum", "weigh"]
