"""File and overrides -> a checked configuration, or every fault in it at once."""

from __future__ import annotations

import json
from collections.abc import Sequence as AnySequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from suite.config.dump import dump
from suite.config.explain import explain
from suite.config.fields import default_at
from suite.config.inherit import read_files
from suite.config.model import Config
from suite.config.nodes import KeyPath, Mapping, Node, Place, Problem, child, join_key, to_plain
from suite.config.overrides import apply_override
from suite.config.references import resolve_references
from suite.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=Config)
_OVERRIDE_RANK = 1_000_000  # after every file


@dataclass(frozen=True)
class Loaded(Generic[ConfigT]):
    """A configuration and where each value of it comes from.

    ``origins`` maps the dotted key of every value to ``file:line:column``, ``override`` or ``default``.
    """

    config: ConfigT
    origins: dict[str, str] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """The whole configuration, each value with its origin as a comment; loading it gives an equal one."""
        return dump(self.config, self.origins)

    def part(self, key: str) -> Loaded[Any]:
        """The configuration that stands under a key of this one, which must be one itself."""
        origins = {
            name[len(key) + 1 :]: at for name, at in self.origins.items() if name.startswith(f"{key}.")
        }
        return Loaded(getattr(self.config, key), origins)


def load_config(
    model: type[ConfigT], path: str | Path | None = None, overrides: AnySequence[str] = ()
) -> Loaded[ConfigT]:
    """Read ``path`` and the files it builds on, set ``overrides`` (``a.b=value``), resolve references, check.

    Values are checked strictly, as written: ``"5"`` is no integer and ``no`` is no boolean. Raises
    ConfigError with all problems, in the order of their positions; each says where its value was written.
    """
    problems: list[Problem] = []
    root = Mapping(Place("configuration", kind="default"))
    if path is not None:
        root = read_files(Path(path), problems)

    def default(key: KeyPath) -> Any:
        return default_at(model, key, root)

    unread = [problem for problem in problems if not problem.key or problem.key == "_base_"]
    for index, text in enumerate(overrides):
        place = Place(text, rank=_OVERRIDE_RANK + index, kind="override")
        apply_override(root, text, place, default, problems)
    if not unread:  # with part of the files missing, what follows would complain of keys that are there
        resolve_references(root, default, problems)
        try:
            # JSON mode is strict, yet takes what a file can hold: a list for a tuple, a string for a path.
            config = model.model_validate_json(json.dumps(to_plain(root)), strict=True)
        except ValidationError as error:
            problems.extend(explain(error, model, root))
        else:
            if not problems:
                return Loaded(config, _origins(config, root))
    raise ConfigError(str(problem) for problem in sorted(problems, key=lambda problem: problem.order))


def _origins(config: Config, root: Node) -> dict[str, str]:
    origins: dict[str, str] = {}

    def visit(path: KeyPath, value: Any, node: Node | None, origin: str) -> None:
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        if not value or not isinstance(value, (dict, list)):
            origins[join_key(path)] = origin
        for key, item in inner:
            entry = None if node is None else child(node, str(key))
            below = (
                _origin(entry.place)
                if entry is not None
                else "default"
                if isinstance(node, Mapping)
                else origin
            )
            visit((*path, str(key)), item, None if entry is None else entry.node, below)

    visit((), config.model_dump(mode="json", by_alias=True), root, "default")
    return origins


def _origin(place: Place) -> str:
    return str(place) if place.kind == "file" else place.kind
