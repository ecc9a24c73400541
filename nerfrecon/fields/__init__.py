"""Radiance fields as torch modules: density, signed distance, and the classic big network."""
