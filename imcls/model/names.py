"""Names of timm's and torchvision's classification models, known without importing either.

The list in names.json is made by `python -m imcls.model.names` for the installed versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from suite.errors import BadInput, did_you_mean

Library = Literal["timm", "torchvision"]

FILE = Path(__file__).with_name("names.json")
HUB = ("hf-hub:", "hf_hub:", "local-dir:")
"""Prefixes by which timm takes models from elsewhere; what follows them is no name of a list."""


def known_names(library: Library) -> tuple[str, ...]:
    """Names of the library's models, sorted; timm's without the tags of their weights."""
    return tuple(_listed()[library]["models"])


def check_name(library: Library, name: str, where: str) -> None:
    """Raise BadInput, with the name that was probably meant, unless the library has a model `name`.

    timm's names may carry a tag of weights (resnet50.a1_in1k). A name that the list lacks is looked up in the
    library itself where another version than the listed one is installed.
    """
    if library == "timm" and name.startswith(HUB):
        return
    listed = _listed()[library]
    model, _, tag = name.partition(".")
    known = model in listed["models"] and (not tag or (library == "timm" and tag in listed["models"][model]))
    if known or (_installed(library) != listed["version"] and _has(library, name)):
        return
    now = listed.get("renamed", {}).get(name)
    if now:
        raise BadInput(f"timm calls {name} {now} now", where=where)
    if model in listed["models"]:
        tags = listed["models"][model] if library == "timm" else []
        raise BadInput(
            f"{model} has no weights with the tag {tag!r}",
            where=where,
            hint=_advice(tag, tags, "without a tag"),
        )
    hint = _advice(model, listed["models"], f"see {library}'s list of models")
    raise BadInput(f"{library} has no model {name!r}", where=where, hint=hint)


def write_list(path: Path = FILE) -> None:
    """Write the names of the installed versions."""
    import timm
    import torchvision
    from timm.models._registry import _deprecated_models

    tags: dict[str, list[str]] = {name: [] for name in sorted(timm.list_models())}
    for name in timm.list_models(pretrained=True):
        model, _, tag = name.partition(".")
        if tag:
            tags.setdefault(model, []).append(tag)
    classifiers = torchvision.models.list_models(module=torchvision.models)
    lists = {
        "timm": {"version": _installed("timm"), "models": tags, "renamed": dict(_deprecated_models)},
        "torchvision": {"version": _installed("torchvision"), "models": {name: [] for name in classifiers}},
    }
    path.write_text(json.dumps(lists, separators=(",", ":")).replace("],", "],\n") + "\n", encoding="utf-8")


@cache
def _listed() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _advice(word: str, names: Iterable[str], otherwise: str) -> str:
    close = did_you_mean(word, names)
    return f"did you mean {close!r}?" if close else otherwise


def _installed(library: Library) -> str:
    """The release that is installed, without a local part such as +cpu."""
    return metadata.version(library).partition("+")[0]


def _has(library: Library, name: str) -> bool:
    if library == "timm":
        import timm

        model, _, tag = name.partition(".")
        return timm.is_model(model) and (not tag or name in timm.list_pretrained(f"{model}.*"))
    import torchvision

    return name in torchvision.models.list_models(module=torchvision.models)


if __name__ == "__main__":
    write_list()
