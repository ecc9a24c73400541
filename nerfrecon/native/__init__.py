"""The compiled training core: C++ sources, and the extension module `_native` that is built from them."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from suite.errors import BackendUnavailable

_MODULE = "nerfrecon.native._native"


def load_native() -> ModuleType:
    """The extension module. Raises BackendUnavailable where it is not built or switched off."""
    name = "the native backend"
    if os.environ.get("SUITE_PURE") == "1":
        raise BackendUnavailable(name, "SUITE_PURE=1 switches it off", "unset it, or take torch")
    if find_spec(_MODULE) is None:
        cause = "it was not built at installation; the reference in PyTorch is about ten times slower"
        raise BackendUnavailable(name, cause, "install again with a C++ compiler, or take torch")
    try:
        return import_module(_MODULE)
    except ImportError as error:
        cause = f"its extension module does not load ({' '.join(str(error).split())})"
        raise BackendUnavailable(name, cause, "install again, or take torch") from None
