"""pydantic's errors for people who write configurations: what is wrong, where, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from suite.config.fields import inside, members, models, names, pick
from suite.config.nodes import Broken, KeyPath, Node, Place, Problem, child, join_key
from suite.config.scalars import format_scalar
from suite.errors import did_you_mean

_MOST_NAMES_LISTED = 12
_SHOULD_BE = "Input should be "


def explain(error: ValidationError, model: type[BaseModel], root: Node) -> list[Problem]:
    """One problem for each fault, where the value was written, or at its section for a key that is missing.

    What pydantic says about values whose fault is known already is left out.
    """
    found: dict[tuple[Place, str], list[tuple[str, str]]] = {}
    for details in error.errors(include_url=False):
        spot = _Spot(model, root)
        for part in details["loc"]:
            spot.follow(str(part))
        if isinstance(spot.node, Broken) and details["type"] != "extra_forbidden":
            continue
        place, key, text, rest = _describe(details, spot)
        known = found.setdefault((place, key), [])
        if (text, rest) not in known:
            known.append((text, rest))
    return [Problem(place, key, _join(texts)) for (place, key), texts in found.items()]


class _Spot:
    """Follows an error location down the tree and the model's annotations at once."""

    def __init__(self, model: type[BaseModel], root: Node) -> None:
        self.annotation: Any = model
        self.owner: Any = None  # the annotation one level up
        self.node: Node = root
        self.place = root.place
        self.path: KeyPath = ()
        self.missing = False

    def follow(self, part: str) -> None:
        if part == "[key]" or self.missing:
            return
        entry = child(self.node, part)
        if len(members(self.annotation)) > 1:
            self.annotation = pick(self.annotation, part)  # pydantic names the alternative it tried
            return
        if entry is None and not models(self.annotation):
            return
        self.owner, self.annotation = self.annotation, inside(self.annotation, part)
        self.path = (*self.path, part)
        self.missing = entry is None
        if entry is not None:
            self.node, self.place = entry.node, entry.place


def _describe(details: ErrorDetails, spot: _Spot) -> tuple[Place, str, str, str]:
    """Place, dotted key, what is wrong and what follows it (the value that was got, a suggestion)."""
    kind, key, context = details["type"], join_key(spot.path), details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = [name for model in models(spot.owner) for name in names(model)]
        return spot.place, key, "unknown key" + _suggest(spot.path[-1], allowed), ""
    if kind == "missing":
        return spot.place, key, "required, but not given", ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        discriminator = str(context.get("discriminator", "type")).strip("'")
        found = models(spot.annotation)
        allowed = re.findall(r"'([^']*)'", str(context.get("expected_tags", ""))) or [
            tag for model in found for tag in _literals(model, discriminator)
        ]
        if kind == "union_tag_not_found":
            return spot.place, key, f"no {discriminator!r} given{_suggest('', allowed)}", ""
        entry = child(spot.node, discriminator)
        place = spot.place if entry is None else entry.place
        text = f"unknown {discriminator} {context.get('tag')!r}{_suggest(str(context.get('tag')), allowed)}"
        return place, join_key((*spot.path, discriminator)), text, ""
    if kind == "model_type" or details["msg"] == _SHOULD_BE + "an object":
        return spot.place, key, _SHOULD_BE + "a mapping", _got(details["input"])
    text = re.sub(r"^(Value error|Assertion failed), ", "", details["msg"])
    if kind in ("literal_error", "enum"):
        close = did_you_mean(
            str(details["input"]), re.findall(r"'([^']*)'", str(context.get("expected", "")))
        )
        return spot.place, key, text, _got(details["input"]) + (f"; did you mean {close!r}?" if close else "")
    return spot.place, key, text, "" if kind in ("value_error", "assertion_error") else _got(details["input"])


def _literals(model: type[BaseModel], name: str) -> Iterable[str]:
    field = model.model_fields.get(name)
    return () if field is None else (str(value) for value in get_args(field.annotation))


def _suggest(word: str, allowed: list[str]) -> str:
    close = did_you_mean(word, allowed) if word else None
    hint = f"; did you mean {close!r}?" if close else ""
    listed = f" (allowed: {', '.join(allowed)})" if 0 < len(allowed) <= _MOST_NAMES_LISTED else ""
    return hint + listed


def _got(value: Any) -> str:
    if isinstance(value, AnyMapping):
        return " (got a mapping)"
    if isinstance(value, (list, tuple)):
        return " (got a list)"
    if value is None:
        return " (got null; leave the key out to use its default)"
    shown = repr(value) if isinstance(value, str) else format_scalar(value)
    return f" (got {shown if len(shown) <= 60 else shown[:57] + '...'})"


def _join(texts: list[tuple[str, str]]) -> str:
    """One text; the alternatives of a union, each refused, become "a or b"."""
    alternatives = [text[len(_SHOULD_BE) :] for text, _ in texts if text.startswith(_SHOULD_BE)]
    if len(alternatives) == len(texts):
        return _SHOULD_BE + " or ".join(alternatives) + texts[0][1]
    return "; ".join(text + rest for text, rest in texts)
