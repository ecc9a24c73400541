"""Finding the run to go on with: the newest that was started with the same settings and has not finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import BadInput
from suite.run import CONFIG, Run

if TYPE_CHECKING:
    from suite.config import Config


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
