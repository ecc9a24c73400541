"""Command lines: groups that import a command only when it is called, errors as one line, exit codes.

``suite`` itself: ``doctor``, ``report`` and, through the entry points ``suite.modules``, modules.
Exit codes: 0 done, 1 failed, 2 unusable input or usage, 3 something optional is missing, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from suite.errors import BackendUnavailable, BadInput, ConfigError, SuiteError, did_you_mean

if TYPE_CHECKING:
    from suite.config import Config
    from suite.report.table import Table

F = TypeVar("F", bound=Callable[..., Any])
_INTERRUPTED = 130
_FILE_COLUMNS = 200
_BROKEN_PIPE = 141
_REFUSALS = {
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the quota of the disk is used up; make room and try again",
    errno.EFBIG: "a file has become larger than is allowed here",
    errno.EROFS: "the disk cannot be written to; choose another folder",
    errno.EACCES: "may not be read or written by this user; change its permissions or choose another place",
}
"""What a disk may say to anything, as people are told."""


class LazyGroup(click.Group):
    """A group whose commands are given as ``name -> ("module:attribute", "one line of help")``.

    The module is imported when the command is called or asked for its own help, not when the group lists it.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def lazy(self) -> Mapping[str, tuple[str, str]]:
        """Commands that are not imported yet."""
        return self._lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self.lazy()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None or cmd_name not in self.lazy():
            return command
        module, _, attribute = self.lazy()[cmd_name][0].partition(":")
        loaded = getattr(importlib.import_module(module), attribute)
        return getattr(loaded, "command", loaded)  # what `entry` returns carries its command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.commands.get(name)
            rows.append((name, self.lazy()[name][1] if command is None else command.get_short_help_str(90)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            close = did_you_mean(name, self.list_commands(ctx))
            hint = f" Did you mean {close!r}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def entry(command: click.Command, name: str | None = None) -> Callable[[], None]:
    """``command`` as the function that a console script calls; it carries the command as ``.command``.

    What the user can mend is said in one line (one for each problem of a configuration), without a traceback.
    """

    def main() -> None:
        sys.exit(_run(command, name or Path(sys.argv[0]).name))

    main.command = command  # type: ignore[attr-defined]
    return main


def _run(command: click.Command, name: str) -> int:
    try:
        result = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) and not isinstance(result, bool) else 0
    except SuiteError as error:
        lines = str(error).splitlines() if isinstance(error, ConfigError) else [" ".join(str(error).split())]
        for line in lines:
            click.echo(line, err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes once more on its way out
        return _BROKEN_PIPE
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        place = "" if error.filename is None else f"{error.filename}: "
        click.echo(f"{place}{_REFUSALS[error.errno]}", err=True)
        return SuiteError.exit_code
    except ModuleNotFoundError as error:
        from suite.doctor import missing

        unavailable = missing(error)
        if unavailable is None:
            raise
        click.echo(str(unavailable), err=True)
        return unavailable.exit_code


def print_table(table: Table) -> None:
    """A table on the terminal, as wide as that is; in a file or a pipe, wide."""
    from rich.console import Console

    # In a file or a pipe nothing is as narrow as the 80 columns that rich would take it for.
    Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS).print(table.to_rich())


class Part(NamedTuple):
    """What stands under `key` of a larger configuration in a file."""

    model: type[Config]
    path: Path
    key: str


def with_config(
    model: Callable[[], type[Config]],
    recipes: Path | None = None,
    otherwise: Callable[[Mapping[str, Any]], Part | None] = lambda arguments: None,
) -> Callable[[F], F]:
    """Give a command ``--config FILE``, ``--schema`` and trailing ``key=value`` settings.

    The command receives ``loaded``, the :class:`suite.config.Loaded` configuration. ``model`` returns the
    Config class; it is a function so that the class is imported only when the command runs. Write this
    decorator last, next to the function, so that the settings come after the command's own arguments.
    With ``recipes``, a folder of YAML files, the file may also stand bare before the settings, and one of
    that folder by its name alone. ``otherwise`` says of the command's arguments whose configuration stands
    below the settings where no file is given: those that a folder was made with, say.
    """

    def show_schema(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            import json

            from suite.config import schema

            click.echo(json.dumps(schema(model()), indent=2))
            ctx.exit()

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*args: Any, config_file: Path | None, settings: tuple[str, ...], **kwargs: Any) -> Any:
            from suite.config import load_config

            given = list(settings)
            bare = next((setting for setting in given if "=" not in setting), None)
            if recipes is not None and config_file is None and bare is not None:
                given.remove(bare)
                config_file = recipe_file(bare, recipes)
            overrides = key_values(given)
            part = otherwise(kwargs) if config_file is None else None
            if part is None:
                loaded = load_config(model(), config_file, overrides)
            else:
                inside = [f"{part.key}.{setting}" for setting in overrides]
                loaded = load_config(part.model, part.path, inside).part(part.key)
            return function(*args, loaded=loaded, **kwargs)

        file = click.Path(dir_okay=False, path_type=Path)
        metavar = "[KEY=VALUE]..." if recipes is None else "[YAML] [KEY=VALUE]..."
        wrapped: Any = click.argument("settings", nargs=-1, metavar=metavar)(command)
        wrapped = click.option(
            "--schema",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show_schema,
            help="Print the JSON schema of the configuration, for editors, and leave.",
        )(wrapped)
        return click.option("--config", "config_file", type=file, help="Configuration file (YAML).")(wrapped)

    return decorate


def recipe_list(recipes: Path) -> Callable[[F], F]:
    """Give a command ``--list``, which says what recipes the folder has, by their first lines."""

    def show(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            for path in sorted(recipes.glob("*.yaml")):
                first = path.read_text(encoding="utf-8").partition("\n")[0]
                click.echo(f"{path.stem:<20} {first.lstrip('# ')}")
            ctx.exit()

    return click.option(
        "--list",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Say which recipes are shipped, and leave.",
    )


def key_values(settings: Sequence[str]) -> list[str]:
    """Settings as they are; a usage error names the first that is none."""
    for setting in settings:
        if "=" not in setting:
            raise click.UsageError(f"Unexpected argument {setting!r}; settings are written key=value.")
    return list(settings)


def recipe_file(name: str, recipes: Path) -> Path:
    """The YAML file ``name``, or the one of that name in ``recipes``. BadInput where there is neither."""
    given, shipped = Path(name), recipes / f"{name}.yaml"
    if given.is_file() or (given.suffix in (".yaml", ".yml") and not shipped.is_file()):
        return given  # a file that is missing is told by the loader, with what lies beside it
    if shipped.is_file():
        return shipped
    names = sorted(path.stem for path in recipes.glob("*.yaml"))
    close = did_you_mean(name, names)
    hint = f"did you mean {close!r}?" if close else f"recipes: {', '.join(names) or 'none'}"
    raise BadInput("no such file, and no recipe of that name", where=name, hint=hint)


def announced(name: str, purpose: str) -> Callable[[], None]:
    """The whole command line of a part that is planned and not built: one line of help, and exit code 3."""
    tolerant = {"ignore_unknown_options": True, "allow_extra_args": True}

    @click.command(name, help=f"Announced, not built in this version: {purpose}", context_settings=tolerant)
    def command() -> None:
        raise BackendUnavailable(name, f"announced, but not built in this version ({purpose})")

    return entry(command)


class _Modules(LazyGroup):
    """The commands of ``suite`` and below them those of the installed modules."""

    def lazy(self) -> Mapping[str, tuple[str, str]]:
        return _modules()


@functools.lru_cache(maxsize=1)
def _modules() -> dict[str, tuple[str, str]]:
    from importlib.metadata import entry_points

    found = entry_points(group="suite.modules")
    return {point.name: (point.value, _first_line(point.value.partition(":")[0])) for point in found}


def _first_line(module: str) -> str:
    """The first line of a package's docstring, read without importing it."""
    import ast
    import importlib.util

    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return "(cannot be found)"
    documented = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (documented or module).splitlines()[0]


@click.group(cls=_Modules)
@click.version_option(package_name="vision-suite")
def suite() -> None:
    """Vision with a report at the end: what is installed, what was run, and every module's commands."""


@suite.command()
def doctor() -> None:
    """Say what is installed, what is missing and what it would enable."""
    from suite.doctor import show

    show()


@suite.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("index.html"),
    show_default=True,
    help="The page to write.",
)
def report(runs: tuple[Path, ...], out: Path) -> None:
    """Write one index page over run folders."""
    from suite.report.index import write_index

    click.echo(write_index(runs, out))


main = entry(suite)
