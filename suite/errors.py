"""Errors meant for people: one clear line saying what is wrong, where it is and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class SuiteError(Exception):
    """Anything the suite refuses to do. Commands print it as one line and leave with ``exit_code``."""

    exit_code = 1


class BadInput(SuiteError):
    """What the user gave cannot be used.

    ``what`` is wrong, ``where`` it stands (file, line, frame, key), and ``hint`` says what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, where: str | Path | None = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)  # all three in args, so that the error survives pickling
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}: "
        advice = "" if self.hint is None else f"; {self.hint}"
        return f"{place}{self.what}{advice}"


class ConfigError(BadInput):
    """All problems of a configuration at once; ``str`` gives one line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(what="\n".join(self.problems))
        self.args = (self.problems,)


class BackendUnavailable(SuiteError):
    """A named optional package, device or tool is missing or does not load; ``cause`` says why."""

    exit_code = 3

    def __init__(self, name: str, cause: str, hint: str | None = None) -> None:
        super().__init__(name, cause, hint)
        self.name = name
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        advice = "" if self.hint is None else f"; {self.hint}"
        return f"{self.name} is not available: {self.cause}{advice}"


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``word`` was probably meant to be, or None."""
    plain = {name.lower().replace("-", "_"): name for name in names}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None
