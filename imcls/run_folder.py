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
from suite.run import CONFIG

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


def _run_of(folder: Path) -> Path:
    if (folder / _ENSEMBLE).is_file():
        from imcls.voting.ensemble import read_ensemble

        return read_ensemble(folder)[0][0]
    above = folder.absolute().parent.parent
    return above if (folder / CARD).is_file() and (above / CONFIG).is_file() else folder
