"""What the benchmarks of nerfrecon share: folders that outlive a run that was cut short, and one core."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nerfrecon

WORK = Path("runs/benchmarks")


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A folder for half-done work of the benchmark `name`: it is removed once all is done.

    It belongs to the sources of nerfrecon as they are; what is left of other sources is thrown away.
    """
    folder = WORK / f"{name}-{_sources()}"
    for other in WORK.glob(f"{name}-*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as all figures in CPU-seconds are measured."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sources() -> str:
    root = Path(nerfrecon.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".h", ".cpp", ".yaml"):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
