"""Fingerprints of the images of a table."""

from __future__ import annotations

from pathlib import Path

from imcls.data.table import ImageTable
from suite.data.fingerprints import Fingerprints, fingerprints


def table_prints(
    table: ImageTable, cache: Path | None = None, what: str = "Looking at images"
) -> Fingerprints:
    """Of every image, or of what its box cuts out; see :func:`suite.data.fingerprints.fingerprints`."""
    return fingerprints(table.names, table.paths, table.boxes, cache, what=what)
