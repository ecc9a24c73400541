"""JSON schema of a configuration, for completion and checks in editors (yaml-language-server)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

_REFERENCE = {"type": "string", "pattern": r"\$\{[^{}]+\}", "description": "a reference to another key"}
_INHERITED = {
    "description": "files this one builds on, relative to it; later ones win",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a file for ``model``, which may inherit and refer, and need not give what it inherits."""
    document = model.model_json_schema(by_alias=True)
    _relax(document)
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document.setdefault("properties", {})["_base_"] = _INHERITED
    return document


def _relax(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _relax(item)
        return
    if not isinstance(node, dict):
        return
    node.pop("required", None)  # an inherited file may give it
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")  # without its `type`, a section matches several alternatives
    for key, value in list(node.items()):
        if key == "properties" and isinstance(value, dict):
            for name, field in value.items():
                _relax(field)
                value[name] = _or_reference(field)
        elif key in ("$defs", "items", "prefixItems", "additionalProperties", "anyOf", "allOf"):
            _relax(list(value.values()) if key == "$defs" else value)


def _or_reference(field: dict[str, Any]) -> dict[str, Any]:
    """A field that also takes ``${...}``; what editors show about it stays outermost."""
    if field.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(field):
        return field
    shown = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
    return {**shown, "anyOf": [field, _REFERENCE]}
