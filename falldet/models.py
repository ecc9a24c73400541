"""The door to every detector that can look at pictures: shipped ones by name, files, runs, and mmdet's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from falldet.mmdet.engine import MmdetModel
    from falldet.model.file import Model

SHIPPED = Path(__file__).with_name("shipped")
DEFAULT = "light"
_FILE, _MMDET = "model.safetensors", "mmdet.json"


def shipped_names() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def model_file(name: str | Path = DEFAULT) -> Path:
    """The file, or for mmdet the folder, that ``name`` stands for: a shipped model, a file, a run's
    folder."""
    path, names = Path(name), shipped_names()
    if str(name) in names:  # whatever lies in the folder where we are
        return SHIPPED / f"{name}.safetensors"
    if path.is_dir():
        found = [path / _FILE, path / _MMDET, path / "model" / _MMDET]
        for file in found:
            if file.is_file():
                return file if file.name == _FILE else file.parent
        raise BadInput("holds no model", path, f"name the folder of a run of `falldet train`, with {_FILE}")
    if path.is_file():
        return path
    guess = did_you_mean(str(name), names)
    hint = f"did you mean {guess}?" if guess else f"shipped are: {', '.join(names) or 'none'}"
    raise BadInput("no such model, file or folder", name, hint)


def open_model(name: str | Path = DEFAULT, device: str = "cpu") -> Model | MmdetModel:
    """The model, ready to look at pictures. Raises BadInput where it cannot be read, and for a device that
    is not there."""
    path = model_file(name)
    if path.is_dir():
        from falldet.mmdet.engine import load_mmdet

        return load_mmdet(path, device=device)
    from falldet.model.file import read_model

    model = read_model(path)
    try:
        model.detector.to(device)
    except (RuntimeError, AssertionError) as error:
        what = f"cannot be used here ({str(error).splitlines()[0]})"
        raise BadInput(what, f"device {device}", "use cpu") from None
    return model
