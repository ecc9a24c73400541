"""What a model expects at a key: walks its annotations beside a pydantic error location or a dotted key."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from suite.config.nodes import KeyPath, Node, Scalar, child

NO_DEFAULT: Any = PydanticUndefined


def members(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without None and without ``Annotated`` around them."""
    annotation = getattr(annotation, "__value__", annotation)  # a `type X = ...` alias
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [] if annotation is type(None) else [annotation]


def models(annotation: Any) -> list[type[BaseModel]]:
    """The models among the alternatives."""
    return [m for m in members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def names(model: type[BaseModel]) -> list[str]:
    """The keys that a model allows, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def tags(model: type[BaseModel]) -> set[str]:
    """Values of a model's ``type`` (or other literal fields) that single it out among alternatives."""
    fields = model.model_fields.values()
    return {str(v) for f in fields if get_origin(f.annotation) is Literal for v in get_args(f.annotation)}


def pick(annotation: Any, label: str) -> Any:
    """The alternative that pydantic calls ``label`` in an error location: a tag or the name of a type."""
    found = members(annotation)
    for model in models(annotation):
        if label in tags(model) or label == model.__name__:
            return model
    for member in found:
        named = getattr(get_origin(member) or member, "__name__", "")
        if label == named or label.startswith(f"{named}["):
            return member
    return found[0] if len(found) == 1 else None


def inside(annotation: Any, part: str) -> Any:
    """The annotation of a model's field, a list's item or a dict's value; None if that is not known."""
    for member in members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                if part in (name, field.alias):
                    return field.annotation
        origin, arguments = get_origin(member), get_args(member)
        if isinstance(origin, type) and arguments:
            if issubclass(origin, Mapping):
                return arguments[-1]
            if origin is tuple and arguments[-1] is not Ellipsis:
                return arguments[int(part)] if part.isdecimal() and int(part) < len(arguments) else None
            return arguments[0]
    return None


def default_at(model: type[BaseModel], path: KeyPath, root: Node) -> Any:
    """What ``model`` fills in at ``path`` beside what ``root`` gives, as plain data, else NO_DEFAULT."""
    annotation: Any = model
    node: Node | None = root
    value: Any = NO_DEFAULT
    for part in path:
        if value is NO_DEFAULT:
            value = _field_default(_variants(annotation, node), part)
        else:
            value = _member(value, part)
        annotation = inside(annotation, part)
        entry = None if node is None else child(node, part)
        node = None if entry is None else entry.node
        if node is not None:
            value = NO_DEFAULT  # given, so that the field's own default is out of play
        elif value is NO_DEFAULT:
            break
    return _plain(value)


def _variants(annotation: Any, node: Node | None) -> Iterator[type[BaseModel]]:
    found = models(annotation)
    chosen = child(node, "type") if node is not None else None
    tag = str(chosen.node.value) if chosen is not None and isinstance(chosen.node, Scalar) else None
    for model in found:
        if len(found) == 1 or (tag is not None and tag in tags(model)):
            yield model


def _field_default(variants: Iterator[type[BaseModel]], part: str) -> Any:
    for model in variants:
        for name, field in model.model_fields.items():
            if part in (name, field.alias) and not field.is_required():
                # Factories that read other fields cannot run before those are checked.
                takes_data = field.default_factory_takes_validated_data
                return NO_DEFAULT if takes_data else field.get_default(call_default_factory=True)
    return NO_DEFAULT


def _member(value: Any, part: str) -> Any:
    if isinstance(value, BaseModel):
        return getattr(value, part, NO_DEFAULT) if part in type(value).model_fields else NO_DEFAULT
    if isinstance(value, Mapping):
        return value.get(part, NO_DEFAULT)
    if isinstance(value, (list, tuple)) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return NO_DEFAULT


def _plain(value: Any) -> Any:
    return value if value is NO_DEFAULT else to_jsonable_python(value, inf_nan_mode="constants")
