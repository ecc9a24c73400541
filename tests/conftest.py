"""What every test shares: shapes checked at run time, and outside data that may be absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Where arrays are handled, every annotation in a signature is checked on every call; to be installed before
# any of these is imported. The rest of the suite knows no shapes, and the check costs time.
_hook = install_import_hook(
    ["suite.geometry", "suite.data", "suite.report", "suite.body", "spine", "falldet", "imcls", "nerfrecon"],
    "beartype.beartype",
)

# Seeded by each test's own name, and no time limit on a machine that others use too.
settings.register_profile("suite", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("suite")


@pytest.fixture
def data() -> Callable[[str], Path]:
    """Finds a data set such as ``spine/ais_backs``; skips the test, naming the set, where it is absent."""
    from suite.files import data_folder

    def find(name: str) -> Path:
        folder = data_folder(name)
        if folder is None:
            pytest.skip(f"the data set {name} is not on this machine (SUITE_DATA names their folder)")
        return folder

    return find
