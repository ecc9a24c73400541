"""The harness, on benchmarks that the test writes."""

# ruff: noqa: E501 (the benchmarks written here are text)

import json
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import main

GOOD = '''
"""Measures a constant."""
from benchmarks import BenchmarkResult
from suite.report.metric import Metric
from suite.report.table import Table

def run():
    metrics = [Metric("rms_mm", 2.5, "mm", "lower", (2.0, 3.0)), Metric("r", float("nan"), "", "higher", note="one subject")]
    return BenchmarkResult(metrics, [Table(["method", "rms"], [["chord", 9.0], ["fit", 2.5]], caption="Baselines")])
'''
NEEDS_DATA = '''
"""Measures on a set."""
from benchmarks import BenchmarkResult, Data
from suite.report.metric import Metric

def run(data: Data):
    return BenchmarkResult([Metric("files", len(list(data("spine/ais_backs").iterdir())), "", None)])
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "good_one.py").write_text(GOOD)
    (tmp_path / "bench" / "needs_data.py").write_text(NEEDS_DATA)
    (tmp_path / "bench" / "_shared.py").write_text("raise RuntimeError('shared parts are no benchmarks')\n")
    monkeypatch.setattr(benchmarks, "__path__", [str(tmp_path / "bench")])
    monkeypatch.setenv("SUITE_DATA", str(tmp_path / "data"))
    for name in ("benchmarks.good_one", "benchmarks.needs_data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_table_for_people_and_a_last_line_for_machines(folder: Path, monkeypatch, capsys):
    assert call(monkeypatch, "good_one", "--json", str(folder / "out.json")) == 0
    out = capsys.readouterr().out
    assert "Baselines" in out
    assert "2.50 mm" in out.replace("\N{NO-BREAK SPACE}", " ")
    assert json.loads(out.splitlines()[-1]) == {
        "name": "good_one",
        "metrics": {
            "rms_mm": {"value": 2.5, "unit": "mm", "better": "lower", "interval": [2.0, 3.0]},
            "r": {"value": None, "unit": "", "better": "higher", "note": "one subject"},
        },
    }
    assert (folder / "out.json").read_text() == out.splitlines()[-1] + "\n"


def test_a_missing_set_is_one_clear_line(folder: Path, monkeypatch, capsys):
    assert call(monkeypatch, "needs_data") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    for word in ("spine/ais_backs", "github.com/", "SUITE_DATA"):
        assert word in captured.err


def test_all_run_and_the_rest_is_still_measured(folder: Path, monkeypatch, capsys):
    assert call(monkeypatch) == 2  # needs_data cannot
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["name"] == "good_one"
    assert captured.err.startswith("needs_data: the data set spine/ais_backs")
    (folder / "data" / "spine" / "ais_backs" / "p1").mkdir(parents=True)
    assert call(monkeypatch, "--only", "needs_data", "good_one") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [line["name"] for line in lines] == ["good_one", "needs_data"]
    assert lines[1]["metrics"]["files"]["value"] == 1


def test_an_unknown_name_is_refused_before_anything_runs(folder: Path, monkeypatch, capsys):
    assert call(monkeypatch, "good_one", "need_data") == 2
    captured = capsys.readouterr()
    assert captured.err == "no benchmark is called 'need_data'; did you mean 'needs_data'?\n"
    assert captured.out == ""


def test_the_list_is_read_off_the_folder(folder: Path, monkeypatch, capsys):
    assert call(monkeypatch, "--list") == 0
    assert capsys.readouterr().out == "good_one: Measures a constant.\nneeds_data: Measures on a set.\n"
