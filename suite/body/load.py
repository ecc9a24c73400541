"""The door to every body model: the free one, or a user's licensed file of the SMPL family."""

from __future__ import annotations

import functools
from pathlib import Path

from suite.body.model import Body
from suite.progress import status


def load_body(path: str | Path | None = None) -> Body:
    """The free body (anny), or that of a licensed file of the SMPL family (`suite.body.smpl_model`); loaded
    once a process.

    The first time on a machine the free body is computed for some minutes, later read in a second. Raises
    BackendUnavailable where a package is missing, BadInput for a file that is no body.
    """
    return _loaded(None if path is None else str(Path(path).absolute()))


@functools.cache
def _loaded(path: str | None) -> Body:
    if path is None:
        from suite.body.anny_model import load_anny

        with status("loading the body model"):
            return load_anny()
    from suite.body.smpl_model import load_smpl

    return load_smpl(Path(path))
