"""A configuration written back as YAML that loads equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from suite.config.nodes import KeyPath, join_key
from suite.config.references import escape
from suite.config.scalars import format_scalar

Origins = Mapping[str, str]


def dump(config: BaseModel, origins: Origins | None = None) -> str:
    """YAML text of every value, with its origin as a comment where ``origins`` has its dotted key."""
    data = config.model_dump(mode="json", by_alias=True)
    return "".join(f"{line}\n" for line in _mapping(data, (), "", origins or {})) or "{}\n"


def _mapping(
    data: dict[Any, Any], path: tuple[str, ...], indent: str, origins: Mapping[str, str]
) -> Iterator[str]:
    for key, value in data.items():
        yield from _entry(f"{indent}{format_scalar(str(key))}:", value, (*path, str(key)), indent, origins)


def _entry(
    head: str, value: Any, path: tuple[str, ...], indent: str, origins: Mapping[str, str]
) -> Iterator[str]:
    """``head`` followed by the value: on its line if it fits there, else as a block below."""
    flow = _flow(value, path, origins)
    if flow is not None:
        text, origin = flow
        yield f"{head} {text}  # {origin}" if origin else f"{head} {text}"
        return
    yield head
    if isinstance(value, dict):
        yield from _mapping(value, path, indent + "  ", origins)
        return
    for index, item in enumerate(value):
        dash, below = f"{indent}  -", (*path, str(index))
        if isinstance(item, dict) and item:
            first, *others = _mapping(item, below, indent + "    ", origins)
            yield f"{dash} {first.lstrip()}"
            yield from others
        else:
            yield from _entry(dash, item, below, indent + "  ", origins)


def _flow(value: Any, path: KeyPath, origins: Origins) -> tuple[str, str] | None:
    """Text and origin of a value that fits on one line: a scalar, ``[]``, a list of scalars of one origin."""
    if isinstance(value, dict):
        return None if value else ("{}", origins.get(join_key(path), ""))
    if not isinstance(value, list):
        return _scalar(value), origins.get(join_key(path), "")
    if not value:
        return "[]", origins.get(join_key(path), "")
    if any(isinstance(item, (dict, list)) for item in value):
        return None
    named = [origins.get(join_key((*path, str(index))), "") for index in range(len(value))]
    if len({_line(origin) for origin in named}) > 1:
        return None
    return f"[{', '.join(map(_scalar, value))}]", named[0]


def _line(origin: str) -> str:
    return origin.rpartition(":")[0] or origin


def _scalar(value: Any) -> str:
    return format_scalar(escape(value) if isinstance(value, str) else value)
