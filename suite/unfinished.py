"""The run to go on with: the newest with the same settings that has not finished; or a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.errors import BadInput
from suite.run import CONFIG, Run

if TYPE_CHECKING:
    from suite.config import Config, Loaded


def started(loaded: Loaded[Any], out: Path | None, *, resume: bool) -> Run:
    """A new run in ``out``, by default the next free of runs/NAME; with ``resume`` the one to go on with."""
    folder = out or Path("runs") / loaded.config.name
    if resume:
        return unfinished(folder, loaded.config, numbered=out is None)
    return Run.create(folder, config=loaded, numbered=out is None)


def unfinished(folder: Path, config: Config, *, numbered: bool) -> Run:
    """The run in ``folder`` taken up again, or with ``numbered`` the newest of folder-2, folder-3, ...

    Raises BadInput where there is none, where it has finished, and where it was made with other settings.
    """
    from suite.config import load_config

    candidates = [folder]
    while numbered and (following := folder.with_name(f"{folder.name}-{len(candidates) + 1}")).is_dir():
        candidates.append(following)
    newest = candidates[-1]
    if not newest.is_dir():
        raise BadInput("there is no run to go on with", where=newest, hint="leave out --resume to start it")
    if not (newest / CONFIG).is_file():
        raise BadInput(f"no {CONFIG} here", where=newest, hint="name the folder of a run")
    earlier = load_config(type(config), newest / CONFIG, ()).config
    before, now = (_flat(one.model_dump(mode="json")) for one in (earlier, config))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if differing:
        key = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise BadInput(
            f"was started with other settings ({key}: {before.get(key)}, now {now.get(key)}{more})",
            where=newest,
            hint="give the same settings, or start a new run without --resume",
        )
    return Run.resume(newest)


def _flat(value: object, key: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {key: value}
    return {
        name: leaf
        for part, item in value.items()
        for name, leaf in _flat(item, f"{key}.{part}".lstrip(".")).items()
    }
