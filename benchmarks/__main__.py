"""Runs benchmarks by name: tables first, then one line of JSON for each."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import click

import benchmarks
from benchmarks import BenchmarkResult, require_data
from suite.cli import entry
from suite.errors import BadInput, SuiteError, did_you_mean
from suite.files import atomic_write


def files() -> dict[str, Path]:
    """The benchmarks there are, by name: the files in the package's folder."""
    found = (path for folder in benchmarks.__path__ for path in Path(folder).glob("*.py"))
    return {path.stem: path for path in sorted(found) if not path.name.startswith("_")}


def run_one(name: str) -> BenchmarkResult:
    """Import and run one benchmark."""
    run = importlib.import_module(f"benchmarks.{name}").run
    return run(require_data) if inspect.signature(run).parameters else run()


def show(name: str, result: BenchmarkResult) -> None:
    """Print the result's tables and its metrics as a table."""
    from rich.console import Console

    from suite.report.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    rows = [(m.key, m.text, m.interval_text, m.better or "", m.note) for m in result.metrics]
    columns = ("metric", "value", "interval", "better", "note")
    used = [c for c in range(len(columns)) if c < 2 or any(row[c] for row in rows)]
    metrics = Table([columns[c] for c in used], [[row[c] for c in used] for row in rows], caption=name)
    for table in (*result.tables, metrics):
        console.print(table.to_rich())


@click.command()
@click.argument("chosen", nargs=-1, metavar="[NAME]...")
@click.option("--only", multiple=True, metavar="NAME", help="The same as NAME; may be repeated.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write the JSON lines to a file."
)
@click.option("--list", "listed", is_flag=True, help="List the benchmarks and leave.")
def command(chosen: tuple[str, ...], only: tuple[str, ...], json_file: Path | None, listed: bool) -> int:
    """Run benchmarks, all of them where none is named.

    Each prints its tables; the last lines of the output are one JSON object for each benchmark. Data sets are
    looked up in the folder that SUITE_DATA names.
    """
    from suite.report.metric import metrics_json

    if listed:
        for name, file in files().items():
            documented = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            click.echo(f"{name}: {documented.partition(chr(10))[0]}")
        return 0
    wanted = list(dict.fromkeys((*chosen, *only))) or list(files())
    for name in wanted:
        if name not in files():
            close = did_you_mean(name, files())
            hint = f"did you mean {close!r}?" if close else "--list names them"
            raise BadInput(f"no benchmark is called {name!r}", hint=hint)
    lines, worst = [], 0
    for name in wanted:
        try:
            result = run_one(name)
        except SuiteError as error:
            if len(wanted) == 1:
                raise
            click.echo(f"{name}: {error}", err=True)  # the others can still be measured
            worst = max(worst, error.exit_code)
            continue
        show(name, result)
        lines.append(metrics_json(name, result.metrics))
    if json_file is not None:
        with atomic_write(json_file, "w") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    for line in lines:
        click.echo(line)
    return worst


main = entry(command, "python -m benchmarks")

if __name__ == "__main__":
    main()
