"""Files and folders: written whole or not at all, known by their content, found where the data sets lie."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from suite.errors import BadInput


@contextmanager
def atomic_write(path: str | Path, mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """Open ``path`` for writing so that it appears complete or not at all (text is UTF-8).

    The bytes go to a temporary file in the same folder, are flushed to disk, and take the name at the end;
    on any error the temporary file is removed and an earlier file of that name stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes private files; results are ordinary ones
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name when the block ends without an error.

    Raises BadInput when ``path`` exists already and is not an empty folder.
    """
    path = Path(path)
    _refuse_occupied(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        _refuse_occupied(path)
        part.rename(path)  # POSIX lets a folder take the place of an empty one
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextmanager
def sole(folder: str | Path) -> Iterator[None]:
    """Work in ``folder``, which is there, while no other process does. A kill lets go, and no file is left.

    Raises BadInput where another is at it. Disks without locks, and Windows, are not guarded.
    """
    try:
        import fcntl
    except ImportError:  # no POSIX
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait until it has ended, or stop it; or name another folder"
            raise BadInput("another process is at work in this folder", folder, hint) from None
        except OSError:
            pass  # a disk that knows no locks
        yield
    finally:
        os.close(held)


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def data_folder(name: str) -> Path | None:
    """Folder of the data set ``name`` (such as ``spine/ais_backs``), or None when it is not on this machine.

    Sets lie under the folder that the environment variable SUITE_DATA names; where it is not set, beside the
    checkout.
    """
    named = os.environ.get("SUITE_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[1] / "../shared/data"
    folder = Path(os.path.normpath(root / name))
    return folder if folder.is_dir() else None


def _refuse_occupied(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise BadInput("exists already", where=path, hint="choose another name or remove it")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
