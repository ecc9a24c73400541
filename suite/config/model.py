"""The base class of every configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Settings as plain data: frozen, and closed to keys it does not know.

    Give every field a sentence (``Field(description=...)`` or a docstring below it): it shows in editors.
    Alternatives are a discriminated union on a field ``type: Literal["name"]``; by that convention a ``type``
    that differs from the inherited one starts the section afresh instead of mixing two alternatives' keys.
    Sequences are best tuples, so that a configuration cannot change after it was checked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
