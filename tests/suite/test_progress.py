import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.progress import status, track

ROOT = Path(__file__).parents[2]


def test_in_a_pipe_there_is_one_line_at_the_start_and_one_at_the_end(capsys: pytest.CaptureFixture[str]):
    with status("fitting"):
        print("result")
    assert list(track(iter("abc"), "frames")) == ["a", "b", "c"]
    assert list(track([], "nothing")) == []
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    lines = captured.err.splitlines()
    assert [line.partition(" in ")[0] for line in lines] == [
        "fitting ...",
        "fitting: done",
        "frames ...",
        "frames: 3 done",
        "nothing: 0 ...",
        "nothing: 0 done",
    ]


def test_a_failure_is_not_called_done(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ZeroDivisionError), status("fitting"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == "fitting ...\n"


def test_a_terminal_gets_a_bar_and_stdout_stays_clean():
    pty = pytest.importorskip("pty", reason="no terminals on this system")
    code = """
from suite.progress import status, track
for i in track(range(3), "frames"):
    print(i)
with status("fitting"):
    print("fitted")
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, env=environment
    )
    os.close(theirs)
    seen = b""
    try:
        while block := os.read(ours, 4096):
            seen += block
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
    assert done.stdout == b"0\n1\n2\nfitted\n"
    assert b"100%" in seen
    assert b"frames: 3 done" in seen
    assert b"fitting: done" in seen
