"""Directions to the values of spherical harmonics."""

from nerfrecon.ops.view_basis.reference import WIDTH, view_basis

__all__ = ["WIDTH", "view_basis"]
