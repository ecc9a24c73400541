"""A classifier's weights as a safetensors file that says what it is for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from imcls.model.classifier import Classifier
from suite.errors import BadInput
from suite.files import atomic_write

FORMAT = "imcls-weights-1"


def save_weights(path: str | Path, model: Classifier, metadata: Mapping[str, str] | None = None) -> None:
    """Write all tensors of `model`, whole or not at all, with its options and `metadata` in the header."""
    from safetensors.torch import save

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    header = {"format": FORMAT, **_identity(model), **(metadata or {})}
    with atomic_write(path) as stream:
        stream.write(_in_order(save(tensors, metadata=header)))


def _in_order(file: bytes) -> bytes:
    """The same file with a sorted header, which safetensors writes in an order of chance: the same weights
    are the same bytes."""
    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the numbers behind it begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + file[8 + size :]


def load_weights(path: str | Path, model: Classifier) -> dict[str, str]:
    """Fill `model` from a file of `save_weights` and return its header.

    Raises BadInput, in one line, for a missing or broken file and for the weights of another model.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise BadInput("there is no such file of weights", where=path)
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, OSError) as error:
        raise BadInput(f"is no safetensors file ({error})", where=path) from error
    here = model.state_dict()
    fits = sum(name in tensors and tensors[name].shape == here[name].shape for name in here)
    if fits < len(here) or len(tensors) > len(here):
        mine = _identity(model)
        theirs = {key: header.get(key, "unknown") for key in mine}
        differ = [
            f"{key} {theirs[key]} in the file, {mine[key]} here" for key in mine if theirs[key] != mine[key]
        ]
        raise BadInput(
            f"holds another model: {fits} of {len(here)} tensors fit"
            + (f" ({'; '.join(differ)})" if differ else ""),
            where=path,
        )
    model.load_state_dict(tensors)
    return header


def _identity(model: Classifier) -> dict[str, str]:
    """What tells one model from another, in words."""
    options = model.options
    name = getattr(options.backbone, "name", None) or getattr(options.backbone, "target", "")
    depth = getattr(options.backbone, "depth", None) or getattr(options.backbone, "width", "")
    return {
        "backbone": f"{options.backbone.type} {name or depth}".strip(),
        "neck": json.dumps(options.neck.model_dump(mode="json")),
        "head": options.head.type,
        "classes": str(model.classes),
        "image_px": str(model.image_px),
    }
