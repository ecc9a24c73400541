import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite import environment
from suite.config import Config, load_config
from suite.errors import BadInput, SuiteError
from suite.files import sha256
from suite.report.metric import Metric
from suite.run import Run


class Settings(Config):
    noise_mm: float = 1.0
    seed: int = 0


def test_a_run_reads_back_as_it_was_written(tmp_path: Path):
    scan = tmp_path / "scan.ply"
    scan.write_bytes(b"ply\n")
    loaded = load_config(Settings, overrides=["seed=7"])
    metrics = [
        Metric("rms_mm", 3.5, "mm", "lower", (3.1, 4.0), "centred"),
        Metric("missing", math.nan, "deg", "higher"),
    ]
    with Run.create(tmp_path / "run", config=loaded, command=["spine", "fit"], inputs=[scan]) as run:
        run.path("deep/result.json").write_text("{}")
        run.add_metrics([Metric("rms_mm", 9.0, "mm", "lower")])
        run.add_metrics(metrics)
        assert Run.open(run.folder).status == "running"
    again = Run.open(tmp_path / "run")
    assert again.status == "finished"
    assert again.record["command"] == ["spine", "fit"]
    assert again.record["error"] is None
    assert again.record["started"] <= again.record["finished"]
    assert again.metrics[0] == metrics[0]
    assert math.isnan(again.metrics[1].value)
    assert again.inputs == [{"path": str(scan), "size": 4, "sha256": sha256(scan)}]
    assert again.artefacts == (tmp_path / "run" / "deep" / "result.json",)
    assert again.record["artefacts"][0]["size"] == 2
    text = (again.folder / "config.yaml").read_text()
    assert text == "noise_mm: 1.0  # default\nseed: 7  # override\n"
    assert load_config(Settings, again.folder / "config.yaml").config == loaded.config


def test_the_environment_is_recorded(tmp_path: Path):
    with Run.create(tmp_path / "run"):
        pass
    found = Run.open(tmp_path / "run").record["environment"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["numpy"] == __import__("numpy").__version__
    assert found["packages"]["pyyaml"] == __import__("yaml").__version__
    assert found["cores"] >= 1
    assert "SUITE_PURE" in found


def test_the_commit_is_that_of_the_checkout():
    root = Path(environment.__file__).parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert (environment.commit() or "").removesuffix("+changes") == head.stdout.strip()


def test_a_failed_run_says_so(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Run.create(tmp_path / "run"):
        raise ZeroDivisionError("division by zero")
    record = Run.open(tmp_path / "run").record
    assert record["status"] == "failed"
    assert record["error"] == "ZeroDivisionError: division by zero"
    with pytest.raises(BadInput), Run.create(tmp_path / "late") as run:
        run.path("half").write_text("x")
        raise BadInput("frame 7 is truncated", where="scan")
    assert Run.open(tmp_path / "late").record["error"] == "scan: frame 7 is truncated"


def test_unusable_input_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(BadInput), Run.create(tmp_path / "run"):
        raise BadInput("empty cloud", where="scan.ply")
    with pytest.raises(BadInput, match="no such file"):
        Run.create(tmp_path / "other", inputs=[tmp_path / "nowhere.ply"])
    assert os.listdir(tmp_path) == []


def test_an_existing_folder_is_never_overwritten(tmp_path: Path):
    with Run.create(tmp_path / "fit"):
        pass
    before = (tmp_path / "fit" / "run.json").read_bytes()
    with pytest.raises(BadInput, match="not empty"):
        Run.create(tmp_path / "fit")
    names = [Run.create(tmp_path / "fit", numbered=True).folder.name for _ in range(2)]
    assert names == ["fit-2", "fit-3"]
    assert (tmp_path / "fit" / "run.json").read_bytes() == before


def test_an_ended_run_takes_nothing_more(tmp_path: Path):
    with Run.create(tmp_path / "run") as run:
        pass
    with pytest.raises(SuiteError, match="has finished"):
        run.add_metrics([])
    with pytest.raises(ValueError, match="artefact"):
        run.path("../outside")
    with pytest.raises(ValueError, match="artefact"):
        run.path("run.json")


@pytest.mark.parametrize("damage", ["nothing", "no json", "not json", "[]", '{"version": 99}'])
def test_what_is_no_run_is_refused(tmp_path: Path, damage: str):
    if damage == "no json":
        (tmp_path / "x").write_text("")
    elif damage != "nothing":
        (tmp_path / "run.json").write_text(damage)
    with pytest.raises(BadInput):
        Run.open(tmp_path)


def test_a_damaged_metric_is_named(tmp_path: Path):
    with Run.create(tmp_path / "run"):
        pass
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"metrics": {"rms_mm": {"value": "three"}}}))
    with pytest.raises(BadInput, match="rms_mm"):
        Run.open(tmp_path / "run")


def test_a_failed_run_is_taken_up_again(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Run.create(tmp_path / "run", command=["imcls", "train"]) as run:
        run.path("half.txt").write_text("x")
        run.add_metrics([Metric("loss", 2.0)])
        raise ZeroDivisionError
    failed = Run.open(tmp_path / "run").record
    with Run.resume(tmp_path / "run") as run:
        reopened = Run.open(tmp_path / "run").record
        assert (reopened["status"], reopened["error"], reopened["finished"]) == ("running", None, None)
        run.path("whole.txt").write_text("y")
        run.add_metrics([Metric("accuracy", 0.9, better="higher")])
    ended = Run.open(tmp_path / "run")
    assert ended.status == "finished"
    assert ended.record["started"] == failed["started"]
    assert ended.record["command"] == ["imcls", "train"]
    assert ended.record["resumes"] == 1
    assert ended.record["wall_s"] >= failed["wall_s"]
    assert [path.name for path in ended.artefacts] == ["half.txt", "whole.txt"]
    assert [metric.key for metric in ended.metrics] == ["loss", "accuracy"]


def test_times_of_a_resumed_run_add_up(tmp_path: Path):
    with pytest.raises(KeyError), Run.create(tmp_path / "run"):
        raise KeyError
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"wall_s": 100.0, "cpu_s": 50.0}))
    for resumes in (1, 2):
        with pytest.raises(KeyError), Run.resume(tmp_path / "run"):
            raise KeyError
        record = Run.open(tmp_path / "run").record
        assert record["resumes"] == resumes
        assert 100 <= record["wall_s"] < 110
        assert 50 <= record["cpu_s"] < 60


def test_a_killed_run_is_resumed_and_a_finished_one_is_not(tmp_path: Path):
    Run.create(tmp_path / "run")  # never left: as after a SIGKILL
    with pytest.raises(BadInput, match="image"), Run.resume(tmp_path / "run"):
        raise BadInput("image 7 is truncated")
    assert Run.open(tmp_path / "run").status == "failed"  # what was there before is not thrown away
    with Run.resume(tmp_path / "run"):
        pass
    with pytest.raises(BadInput, match="has finished"):
        Run.resume(tmp_path / "run")
    with pytest.raises(BadInput, match=r"no run\.json"):
        Run.resume(tmp_path / "nowhere")
