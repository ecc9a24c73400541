"""What `suite doctor` says of nerfrecon: is the native core there, and for which instruction sets."""

from __future__ import annotations

from nerfrecon.native import load_native
from suite.doctor import Finding
from suite.errors import BackendUnavailable

_ENABLES = "nerfrecon: fields trained in minutes on the CPU"


def findings() -> list[Finding]:
    """One row, with the instruction sets this machine runs, best first, or why there are none."""
    try:
        native = load_native()
    except BackendUnavailable as error:
        return [Finding("native", "core of nerfrecon", None, f"{_ENABLES}; {error.cause}; {error.hint}")]
    return [Finding("native", "core of nerfrecon", ", ".join(native.runnable()), _ENABLES)]
