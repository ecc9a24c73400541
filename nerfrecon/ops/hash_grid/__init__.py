"""Points to features by a multi-resolution hash grid."""

from nerfrecon.ops.hash_grid.reference import encode

__all__ = ["encode"]
