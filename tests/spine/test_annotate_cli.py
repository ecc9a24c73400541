"""`spine annotate` as a person starts and ends it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from annotate_subject import scan_file

from spine.annotate import command
from suite.cli import entry

START = """
import signal, sys
from spine.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
sys.argv = ['spine', 'annotate', *sys.argv[1:]]
main()
"""


@pytest.fixture
def annotate(monkeypatch, capsys, tmp_path):
    """Run `spine annotate ...` in this process without serving: exit code, stdout, what is not progress."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.AnnotateServer, "serve", lambda self: None)
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)

    def run(*words: object) -> tuple[int, str, list[str]]:
        from spine.cli import spine

        monkeypatch.setattr(sys, "argv", ["spine", "annotate", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            entry(spine)()
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if not line.endswith("...") and ": done in" not in line]
        return int(left.value.code or 0), out, lines

    run.opened = opened  # type: ignore[attr-defined]
    return run


def test_what_cannot_be_used_is_one_line(annotate, tmp_path: Path):
    (tmp_path / "text.ply").write_text("hello")
    (tmp_path / "bad.json").write_text("{")
    for words, said in (
        (["none.ply"], "none.ply"),
        (["text.ply"], "text.ply"),
        ([scan_file(), "--landmarks", "bad.json"], "bad.json"),
        ([scan_file(), "--landmarks", "absent.json"], "absent.json"),
        ([scan_file(), "--out", tmp_path], "--out"),
        ([scan_file(), "surface.units=ell"], "surface.units"),
    ):
        code, out, lines = annotate(*words, "--no-browser")
        assert code == 2 and len(lines) == 1 and said in lines[0], (words, lines)
        assert "The page" not in out


def test_where_it_saves_and_whether_a_browser_is_asked(annotate, tmp_path: Path):
    code, out, lines = annotate(scan_file(), "--no-browser")
    assert (code, lines) == (0, []) and str(scan_file().with_name("back.landmarks.json")) in out
    assert "Nothing was saved" in out and not annotate.opened
    code, out, _ = annotate(scan_file(), "--out", tmp_path / "mine.json")
    assert code == 0 and str(tmp_path / "mine.json") in out
    until = time.monotonic() + 5
    while not annotate.opened and time.monotonic() < until:
        time.sleep(0.01)
    url = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", out)
    assert url is not None and annotate.opened == [url[0]]


def test_ctrl_c_ends_it(tmp_path: Path):
    words = [
        scan_file(),
        "--no-browser",
        "--out",
        tmp_path / "out.json",
        "surface.up=-y",
        "surface.facing=-z",
    ]
    running = subprocess.Popen(
        [sys.executable, "-c", START, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert running.stdout is not None
        url = running.stdout.readline().removeprefix("The page: ").strip()
        with urlopen(url, timeout=30) as answer:
            assert b"spine annotate" in answer.read()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 0 and "Nothing was saved." in out
    assert "Traceback" not in err and not (tmp_path / "out.json").exists()


def test_its_help_needs_nothing_heavy():
    code = (
        "import sys; from spine.cli import main; sys.argv = ['spine', 'annotate', '--help']\n"
        "try: main()\nfinally: print([m for m in ('numpy', 'scipy', 'http.server') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "Usage: spine annotate" in done.stdout
