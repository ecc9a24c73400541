"""The machine and the installation, looked up without importing anything heavy."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

_ISA = ("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_bf16", "amx_bf16", "neon", "asimd", "sve")


def packages() -> dict[str, str]:
    """Version of every installed distribution by its normalised name, read off its metadata folder's name."""
    found: dict[str, str] = {}
    for entry in sys.path:
        folder = Path(entry or ".")
        if folder.is_dir():
            for path in folder.glob("*.dist-info"):
                name, _, version = path.name.removesuffix(".dist-info").partition("-")
                found.setdefault(name.lower().replace("_", "-").replace(".", "-"), version)
    return dict(sorted(found.items()))


def cpu() -> tuple[str, tuple[str, ...]]:
    """Name of the processor, and those of its instruction sets that matter to numerics."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))
    }
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return name, tuple(flag for flag in _ISA if flag in flags)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Memory that this process may use: the machine's, or less where a container limits it."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else []
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        limits.append(int(text))
    return min(limits, default=0) / 2**30


def commit() -> str | None:
    """Commit of the checkout this code runs from, with ``+changes`` if files differ; None outside one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or a checkout it does not trust: the run is not worse for it


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ("git", "-C", root, *arguments), capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
