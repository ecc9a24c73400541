"""What a run folder of `imcls train` holds, for those who come after: its settings, voters and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imcls.config import ImclsConfig, TtaOptions
from imcls.data.options import CocoSource, CsvSource, FolderSource, Source
from imcls.member import CARD, members_of
from imcls.voting.vote import Voters, load_voters
from suite.config import Loaded, load_config
from suite.errors import BadInput
from suite.run import CONFIG, Run

_ENSEMBLE = "ensemble.json"


def run_config(folder: Path, settings: Sequence[str] = ()) -> Loaded[ImclsConfig]:
    """The settings a run was made with, and ``settings`` over them. BadInput where the folder is no run.

    Those of a member are its run's, and those of an ensemble its first run's.
    """
    folder = _run_of(folder)
    if not (folder / CONFIG).is_file():
        what = f"no {CONFIG} here" if folder.is_dir() else "no such folder"
        raise BadInput(what, where=folder, hint="name the folder of a run of `imcls train`")
    return load_config(ImclsConfig, folder / CONFIG, settings)


def tta_of(folder: Path) -> TtaOptions:
    """The views that a run was judged with; one view where that is not known."""
    known = (_run_of(folder) / CONFIG).is_file()
    return run_config(folder).config.evaluation.tta if known else TtaOptions()


def voters_of(folder: Path, *, allow_code: bool = False) -> Voters:
    """The members of a run, of an ensemble of runs, or one member's own folder."""
    if (folder / _ENSEMBLE).is_file():
        from imcls.voting.ensemble import ensemble_voters

        return ensemble_voters(folder, allow_code=allow_code)
    return load_voters(members_of(folder), allow_code=allow_code)


def image_files(config: ImclsConfig, most: int) -> list[Path]:
    """Up to ``most`` image files of an experiment, evenly over its data set."""
    from imcls.data.sources import read_table

    paths = list(dict.fromkeys(read_table(config.data.source, config.data.classes).paths))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))
    return [paths[i] for i in chosen]


def classes_of(config: ImclsConfig) -> tuple[str, ...]:
    """The classes of an experiment, in their order."""
    from imcls.data.sources import read_table

    return read_table(config.data.source, config.data.classes).classes


def source_of(path: Path) -> Source:
    """A folder of class folders, a table (.csv) or a COCO file (.json), by what ``path`` is."""
    if path.suffix.lower() == ".csv":
        return CsvSource(file=path)
    if path.suffix.lower() == ".json":
        return CocoSource(file=path)
    return FolderSource(root=path)


def unfinished(folder: Path, config: ImclsConfig, *, numbered: bool) -> Run:
    """The run to go on with: that in ``folder``, or with ``numbered`` the newest of folder-2, folder-3, ...

    Raises BadInput where there is none, where it has finished, and where it was made with other settings.
    """
    candidates = [folder]
    while numbered and (following := folder.with_name(f"{folder.name}-{len(candidates) + 1}")).is_dir():
        candidates.append(following)
    newest = candidates[-1]
    if not newest.is_dir():
        raise BadInput("there is no run to go on with", where=newest, hint="leave out --resume to start it")
    before, now = (_flat(one.model_dump(mode="json")) for one in (run_config(newest).config, config))
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


def _run_of(folder: Path) -> Path:
    if (folder / _ENSEMBLE).is_file():
        from imcls.voting.ensemble import read_ensemble

        return read_ensemble(folder)[0][0]
    above = folder.absolute().parent.parent
    return above if (folder / CARD).is_file() and (above / CONFIG).is_file() else folder


def _flat(value: object, key: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {key: value}
    return {
        name: leaf
        for part, item in value.items()
        for name, leaf in _flat(item, f"{key}.{part}".lstrip(".")).items()
    }
