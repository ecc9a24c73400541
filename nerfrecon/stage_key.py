"""By what a stage is known: a hash of its name and version, its options and the content of its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from suite.config import Config
from suite.errors import BadInput
from suite.files import sha256

_NOT_CONTENT = ("stage.json",)


class Hashes:
    """SHA-256 of files, computed once for each state of a file. `root` is where results go: inside a folder
    of inputs it is no input."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._known: dict[tuple[str, int, int], str] = {}

    def of(self, path: Path) -> Iterator[tuple[str, str]]:
        """(name, hash) of a file or of all files below a folder, in the order of their names; hidden ones and
        records of stages are left out. Raises BadInput where there is none."""
        if path.is_file():
            yield "", self._file(path)
            return
        if not path.is_dir():
            raise BadInput("no such file or folder", path)
        for name, file in sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*")):
            if self._counts(name, file, path):
                yield name, self._file(file)

    def _counts(self, name: str, file: Path, below: Path) -> bool:
        if not file.is_file() or file.name in _NOT_CONTENT:
            return False
        if any(part.startswith(".") for part in name.split("/")):
            return False
        inside = below.resolve() != self._root and self._root.is_relative_to(below.resolve())
        return not (inside and file.resolve().is_relative_to(self._root))

    def _file(self, path: Path) -> str:
        state = path.stat()
        known = (str(path.resolve()), state.st_size, state.st_mtime_ns)
        if known not in self._known:
            self._known[known] = sha256(path)
        return self._known[known]


def stage_key(name: str, version: int, options: Config | None, inputs: Sequence[Path], hashes: Hashes) -> str:
    """The same for the same work, wherever its files lie. Raises BadInput for an input that is missing."""
    digest = hashlib.sha256()
    digest.update(json.dumps([name, version]).encode())
    if options is not None:
        digest.update(json.dumps(options.model_dump(mode="json"), sort_keys=True).encode())
    for path in inputs:
        for file, content in hashes.of(path):
            digest.update(json.dumps([file, content]).encode())
        digest.update(b"|")
    return digest.hexdigest()
