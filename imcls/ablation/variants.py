"""What an ablation compares: named changes of a base configuration."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from suite.config import Config, load_config
from suite.errors import BadInput, did_you_mean

BASE = "base"


@dataclass(frozen=True)
class Variant:
    """The base with ``overrides`` (``a.b=value``), or the even vote of the variants named in ``of``."""

    name: str
    overrides: tuple[str, ...] = ()
    of: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return re.sub(r"[^\w.=-]+", "_", self.name).strip("_.") or "variant"


class Voted(Config):
    """A variant that trains nothing: the even vote of others with the same seed."""

    of: Annotated[tuple[str, ...], Field(min_length=2)]
    """Names of variants; `base` is the unchanged one."""


class VariantsFile(Config):
    """Named variants, each a list of overrides or a vote over others."""

    variants: dict[str, tuple[str, ...] | Voted]
    """For example `smoothed: [loss.criterion.smoothing=0.1]` or `ensemble: {of: [base, smoothed]}`."""


def varied(vary: Sequence[str], grid: bool = False) -> tuple[Variant, ...]:
    """The base and its variants from ``a.b=value,value`` each: one change at a time, or with ``grid`` all
    combinations."""
    choices = [_values(text) for text in vary]
    chosen = itertools.product(*choices) if grid else ((one,) for values in choices for one in values)
    made = tuple(Variant(", ".join(overrides), tuple(overrides)) for overrides in chosen)
    return checked((Variant(BASE), *made))


def read_variants(path: Path) -> tuple[Variant, ...]:
    """The base and the variants of a YAML file. Raises ConfigError or BadInput."""
    content = load_config(VariantsFile, path).config.variants
    made = [
        Variant(name, of=given.of) if isinstance(given, Voted) else Variant(name, tuple(given))
        for name, given in content.items()
        if name != BASE
    ]
    return checked((Variant(BASE, _overrides(content.get(BASE))), *made))


def checked(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The same, votes last. BadInput for names or folders that come twice, and votes over what is not
    there."""
    slugs: dict[str, str] = {}
    for variant in variants:
        if variant.slug in slugs:
            raise BadInput(f"the variants {slugs[variant.slug]!r} and {variant.name!r} have the same name")
        slugs[variant.slug] = variant.name
    trained = [variant.name for variant in variants if not variant.of]
    for variant in variants:
        for name in variant.of:
            if name not in trained:
                guess = did_you_mean(name, trained)
                hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(trained)}"
                raise BadInput(
                    f"variant {variant.name!r} votes over {name!r}, which is not trained", hint=hint
                )
    return tuple(sorted(variants, key=lambda variant: bool(variant.of)))


def _overrides(given: tuple[str, ...] | Voted | None) -> tuple[str, ...]:
    if isinstance(given, Voted):
        raise BadInput("the base cannot be a vote", where="variants.base")
    return given or ()


def _values(text: str) -> list[str]:
    """``a.b=1,[2,3]`` -> ``a.b=1``, ``a.b=[2,3]``: commas inside brackets and quotes do not divide."""
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise BadInput(f"{text!r} varies nothing", hint="write key=value,value such as train.epochs=10,20")
    parts, depth, quote = [""], 0, ""
    for character in values:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [f"{key.strip()}={part.strip()}" for part in parts]
