"""Every command's help is quick and light; errors are one line; exit codes are kept."""

from __future__ import annotations

import ast
import errno
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from suite.cli import Part, announced, entry, with_config
from suite.config import Config, Loaded
from suite.errors import BackendUnavailable, BadInput, ConfigError, SuiteError

ROOT = Path(__file__).parents[2]
CPU_LIMIT_S = 0.3
HEAVY = ("torch", "scipy", "open3d", "trimesh", "matplotlib", "plotly", "sklearn")

# Run in a child: calls "module:attribute" and says which heavy packages it so much as tried to import,
# installed or not.
CHILD = f"""
import sys
tried = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            tried.append(name)
sys.meta_path.insert(0, Watch())
import importlib
module, _, attribute = sys.argv[1].partition(":")
sys.argv[:] = sys.argv[2:]
try:
    getattr(importlib.import_module(module), attribute)()
finally:
    print("TRIED", tried, file=sys.stderr)
"""


def scripts() -> dict[str, str]:
    """The command scripts of pyproject.toml: name -> "module:attribute"."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.scripts]\n")[2].partition("\n[")[0]
    return dict(re.findall(r'^([\w-]+) = "([\w.:]+)"$', section, re.MULTILINE))


def subcommands(command: click.Command) -> list[tuple[str, ...]]:
    """The paths of all commands at and below ``command``; groups import what they list."""
    paths: list[tuple[str, ...]] = [()]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            paths += [(name, *path) for path in subcommands(below)]
    return paths


def every_command() -> list[tuple[str, ...]]:
    found = []
    for name, target in scripts().items():
        module, _, attribute = target.partition(":")
        main = getattr(importlib.import_module(module), attribute)
        found += [(name, *path) for path in subcommands(getattr(main, "command", main))]
    return found


def child(*arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run Python with ``arguments`` in the repository; also its CPU time, user and system, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tried(done: subprocess.CompletedProcess[str]) -> list[str]:
    return ast.literal_eval(done.stderr.rpartition("TRIED ")[2].strip())


def test_the_scripts_are_the_six_promised():
    assert set(scripts()) == {"suite", "spine", "falldet", "imcls", "nerfrecon", "capture-rgbd"}


def test_help_of_every_command_is_quick_and_imports_nothing_heavy():
    commands = every_command()
    assert len(commands) >= len(scripts()) + 2  # suite's own two, at least
    slow, heavy = [], []
    for path in commands:
        done, cpu = child("-c", CHILD, scripts()[path[0]], *path, "--help")
        assert done.returncode == 0, (path, done.stderr)
        assert done.stdout.startswith(f"Usage: {' '.join(path)}"), path
        if tried(done):
            heavy.append((path, tried(done)))
        for _ in range(2):  # the least of three, since others compute here too
            if cpu >= CPU_LIMIT_S:
                cpu = min(cpu, child("-c", CHILD, scripts()[path[0]], *path, "--help")[1])
        if cpu >= CPU_LIMIT_S:
            slow.append((path, cpu))
    assert slow == []
    assert heavy == []


def test_the_watch_sees_attempts_whether_or_not_the_package_is_there(tmp_path: Path):
    for package in HEAVY:
        text = f"def main():\n    try:\n        import {package}\n    except ImportError:\n        pass\n"
        (tmp_path / f"uses_{package}.py").write_text(text)
    done, _ = child("-c", CHILD, "uses_torch:main", "x", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert "torch" in tried(done)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (BadInput("no back found", "scan.ply", "turn\nround"), 2, ["scan.ply: no back found; turn round"]),
        (ConfigError(["a.yaml:1:1: x", "a.yaml:2:1: y"]), 2, ["a.yaml:1:1: x", "a.yaml:2:1: y"]),
        (BackendUnavailable("cuda", "no driver"), 3, ["cuda is not available: no driver"]),
        (SuiteError("it did not converge"), 1, ["it did not converge"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (OSError(errno.ENOSPC, "No space"), 1, ["the disk is full; make room and try again"]),
        (
            PermissionError(errno.EACCES, "Permission denied", "out.json"),
            1,
            [
                "out.json: may not be read or written by this user; change its permissions or choose "
                "another place"
            ],
        ),
        (
            ModuleNotFoundError("No module named 'scipy'", name="scipy"),
            3,
            ["scipy is not available: it is not installed; pip install 'vision-suite[spine]'"],
        ),
    ],
)
def test_what_the_user_can_mend_is_said_in_a_line(error, code, lines, monkeypatch, capsys):
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["it"])
    with pytest.raises(SystemExit) as left:
        entry(command)()
    assert left.value.code == code
    captured = capsys.readouterr()
    assert captured.err.strip().splitlines() == lines
    assert captured.out == ""


def test_a_bug_keeps_its_traceback(monkeypatch):
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["it"])
    with pytest.raises(ZeroDivisionError):
        entry(command)()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("docter",), "Did you mean 'doctor'?"),
        (("xyzzy",), "No such command 'xyzzy'."),
        (("report", "run", "--ot", "x"), "--out"),
        (("report",), "Missing argument 'RUN...'"),
    ],
)
def test_wrong_usage_is_told_with_a_hint(arguments: tuple[str, ...], hint: str):
    done, _ = child("-c", CHILD, "suite.cli:main", "suite", *arguments)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error():
    code = """
import click
from suite.cli import entry
@click.command()
def command():
    for _ in range(100_000):
        click.echo("a line of output")
entry(command)()
"""
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.readline()
    reader.stdout.close()
    assert reader.stderr.read() == b""
    assert reader.wait(60) != 0


def test_an_interrupt_is_one_line():
    code = """
import signal, time, click
from suite.cli import entry
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
@click.command()
def command():
    click.echo("ready")
    time.sleep(60)
entry(command)()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.split() == ["interrupted"]


@pytest.mark.parametrize("arguments", [(), ("train", "x"), ("--anything", "goes")])
def test_an_announced_module_says_so_and_leaves_with_3(arguments: tuple[str, ...]):
    code = "from suite.cli import announced; announced('thing', 'does things')()"
    done, _ = child("-c", code, *arguments)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("thing is not available: announced, but not built in this version")
    command = announced("thing", "does things").command  # type: ignore[attr-defined]
    assert command.get_short_help_str(90).startswith("Announced, not built in this version: does things")


def test_modules_are_listed_without_being_imported(tmp_path: Path):
    """An installed package with an entry point; its help line is its docstring, importing it would fail."""
    info = tmp_path / "zmodule-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zmodule\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[suite.modules]\nzmodule = zmodule.cli:main\n")
    package = tmp_path / "zmodule"
    package.mkdir()
    (package / "__init__.py").write_text('"""Does what z does."""\nraise RuntimeError("imported")\n')
    done, _ = child("-c", CHILD, "suite.cli:main", "suite", "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert re.search(r"zmodule +Does what z does\.", done.stdout)
    (package / "__init__.py").write_text('"""Does what z does."""\n')
    (package / "cli.py").write_text('from suite.cli import announced\nmain = announced("zmodule", "z")\n')
    done, _ = child("-c", CHILD, "suite.cli:main", "suite", "zmodule", PYTHONPATH=str(tmp_path))
    assert done.returncode == 3


class Settings(Config):
    noise_mm: float = 1.0


@click.command()
@click.argument("scan")
@with_config(lambda: Settings)
def fit(scan: str, loaded: Loaded[Settings]) -> None:
    click.echo(f"{scan} {loaded.config.noise_mm} {loaded.origins['noise_mm']}")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["fit", *arguments])
    with pytest.raises(SystemExit) as left:
        entry(fit)()
    return left.value.code


def test_settings_come_from_a_file_and_trail_the_arguments(monkeypatch, capsys, tmp_path: Path):
    assert call(monkeypatch, "scan.ply") == 0
    assert capsys.readouterr().out == "scan.ply 1.0 default\n"
    assert call(monkeypatch, "scan.ply", "noise_mm=2") == 0
    assert capsys.readouterr().out == "scan.ply 2.0 override\n"
    (tmp_path / "x.yaml").write_text("noise_mm: 3\n")
    assert call(monkeypatch, "--config", str(tmp_path / "x.yaml"), "scan.ply") == 0
    assert capsys.readouterr().out == f"scan.ply 3.0 {tmp_path}/x.yaml:1:1\n"


class Whole(Config):
    scan: str = "x"
    fit: Settings = Settings()


def test_settings_stand_over_those_of_a_folder_where_no_file_is_given(monkeypatch, capsys, tmp_path: Path):
    (tmp_path / "whole.yaml").write_text("scan: y\nfit: {noise_mm: 4}\n")

    def of_folder(arguments: Mapping[str, Any]) -> Part | None:
        return Part(Whole, tmp_path / "whole.yaml", "fit") if arguments["folder"] == "made" else None

    @click.command()
    @click.argument("folder")
    @with_config(lambda: Settings, otherwise=of_folder)
    def again(folder: str, loaded: Loaded[Settings]) -> None:
        click.echo(f"{loaded.config.noise_mm} {Path(loaded.origins['noise_mm']).name}")

    def told(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["again", *arguments])
        with pytest.raises(SystemExit) as left:
            entry(again)()
        captured = capsys.readouterr()
        return left.value.code, captured.out + captured.err

    (tmp_path / "own.yaml").write_text("noise_mm: 3\n")
    assert told("made") == (0, "4.0 whole.yaml:2:7\n")
    assert told("made", "noise_mm=5") == (0, "5.0 override\n")
    assert told("made", "--config", str(tmp_path / "own.yaml")) == (0, "3.0 own.yaml:1:1\n")
    assert told("other") == (0, "1.0 default\n")
    code, line = told("made", "nois_mm=5")
    assert code == 2 and "unknown key; did you mean" in line


def test_wrong_settings_are_told_all_at_once(monkeypatch, capsys, tmp_path: Path):
    (tmp_path / "x.yaml").write_text("nois_mm: 3\n")
    assert call(monkeypatch, "scan.ply", "--config", str(tmp_path / "x.yaml"), "noise_mm=much") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/x.yaml:1:1: nois_mm: unknown key; did you mean 'noise_mm'? (allowed: noise_mm)",
        "override 'noise_mm=much': Input should be a valid number (got 'much')",
    ]
    assert call(monkeypatch, "scan.ply", "other.ply") == 2
    assert "Unexpected argument 'other.ply'" in capsys.readouterr().err


def test_the_schema_is_printed_without_the_arguments(monkeypatch, capsys):
    assert call(monkeypatch, "--schema") == 0
    assert "noise_mm" in json.loads(capsys.readouterr().out)["properties"]


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "quiet.yaml").write_text("noise_mm: 0.5\n")
    return tmp_path / "recipes"


def call_recipe(monkeypatch: pytest.MonkeyPatch, recipes: Path, *arguments: str) -> object:
    @click.command()
    @with_config(lambda: Settings, recipes)
    def train(loaded: Loaded[Settings]) -> None:
        click.echo(loaded.config.noise_mm)

    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as left:
        entry(train)()
    return left.value.code


def test_a_recipe_is_named_or_a_file_given_bare(monkeypatch, capsys, tmp_path: Path, recipes: Path):
    (tmp_path / "own.yaml").write_text("noise_mm: 3\n")
    own = str(tmp_path / "own.yaml")
    for arguments, value in (
        (["quiet"], "0.5"),
        ([own], "3.0"),
        (["--config", own], "3.0"),
        ([own, "noise_mm=4"], "4.0"),
        (["noise_mm=4", "quiet"], "4.0"),
        ([], "1.0"),
    ):
        assert call_recipe(monkeypatch, recipes, *arguments) == 0
        assert capsys.readouterr().out == f"{value}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["quite"], "quite: no such file, and no recipe of that name; did you mean 'quiet'?"),
        (["xyzzy"], "xyzzy: no such file, and no recipe of that name; recipes: quiet"),
        (["gone.yaml"], "gone.yaml: no such file"),
        (["quiet", "more"], "Unexpected argument 'more'"),
    ],
)
def test_a_recipe_that_is_not_there_is_told(
    monkeypatch, capsys, recipes: Path, arguments: list[str], line: str
):
    assert call_recipe(monkeypatch, recipes, *arguments) == 2
    assert line in capsys.readouterr().err
