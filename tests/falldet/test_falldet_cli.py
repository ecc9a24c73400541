"""The command line: what it lists, what its verbs write, and one line for what cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from falldet_command import Command, settings_of

from falldet.data.formats import read_labelled
from falldet.data.options import CocoSource, YoloSource
from suite.cli import print_table
from suite.report.table import Table
from suite.run import Run

ROOT = Path(__file__).parents[2]
VERBS = (
    *("audit", "check", "convert", "eval", "eval-events", "export"),
    *("import-weights", "predict", "synthesize", "train", "train-evidence", "watch"),
)


def test_help_lists_the_verbs_in_an_instant():
    script = "import sys, time, falldet.cli\nsys.argv = ['falldet', '--help']\nfalldet.cli.main()"
    runs = [_help(script)]
    while runs[-1][1] >= 0.5 and len(runs) < 3:  # the least of three, since others compute here too
        runs.append(_help(script))
    done, cpu_s = min(runs, key=lambda run: run[1])
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line[2:3].isalpha()] == list(VERBS)
    assert "no medical device" in done.stdout
    assert cpu_s < 0.5


def _help(script: str) -> tuple[subprocess.CompletedProcess[str], float]:
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    after = os.times()
    return done, sum(after[2:4]) - sum(before[2:4])  # user and system time of children


def test_recipes_are_listed_each_with_its_line(falldet_command: Command):
    code, out, _ = falldet_command("check", "--list")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"light", "light_cascade", "cascade_r50", "mmdet"} <= set(lines)
    assert all(text[0].isupper() or text[0].isdigit() for text in lines.values())


def test_bad_input_of_every_verb_is_one_line(
    falldet_command: Command, trained: Path, painted_sets: tuple[Path, Path], tmp_path: Path
):
    train, develop = painted_sets
    Path("text.pth").write_text("no weights at all")
    Path("broken.json").write_text('{"images": [')
    Path("empty").mkdir()
    categories = json.loads(develop.read_text())
    categories["categories"][0]["name"] = "falen"
    (develop.parent / "misspelt.json").write_text(json.dumps(categories))
    for arguments, text in (
        (("predict", "gone.mp4", "--model", trained), "gone.mp4: "),
        (("predict", train.parent, "--model", "ligth"), "ligth: no such model, file or folder"),
        (("predict", train.parent, "--model", trained, "--batch", "0"), "batch"),
        (("predict", train.parent, "--model", "text.pth"), "text.pth: is no file of weights"),
        (("predict", train.parent, "--model", trained, "--device", "cuda:99"), "device cuda:99: "),
        (("convert", "broken.json", "new", "--to", "yolo"), "broken.json:1: is not JSON"),
        (("convert", "gone", "new", "--to", "yolo"), "gone: "),
        (("convert", develop.parent / "misspelt.json", "new", "--to", "yolo"), "did you mean 'fallen'?"),
        (("convert", train, "new", "--to", "yolo", "--rename", "person"), "--rename person: is no pair"),
        (("audit", f"a={train}", f"a={develop}"), "a: is the name of two sets; name them"),
        (("audit", "a=gone.json"), "gone.json"),
        (("eval", trained, develop, "--threshold", "0.5", "--develop", train), "give one of the two"),
        (("eval", trained, develop, "--threshold", "1.5"), "the threshold 1.5 is no score"),
        (("eval", "empty", develop), "empty: holds no model; name the folder of a run"),
        (("import-weights", "text.pth", "--out", "w.safetensors"), "text.pth: "),
        (("import-weights", "text.pth", "--out", "w.safetensors", "--rows", "a"), "--rows a: is not two"),
        (("export", trained, "--check", "gone"), "gone"),
        (("check", "train.epochs=many"), "train.epochs"),
    ):
        code, out, err = falldet_command(*arguments)
        assert (code, out) == (2, ""), (arguments, out, err)
        assert len(err) == 1 and text in err[0], (arguments, err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "empty", "text.pth"]


def test_convert_writes_what_reads_alike(falldet_command: Command, painted_sets: tuple[Path, Path]):
    code, out, err = falldet_command("convert", painted_sets[1], "new", "--to", "yolo")
    assert code == 0
    assert out == "new: 8 pictures, {'fallen': 4, 'not_fallen': 4} people\n"
    assert any("tag" in line for line in err)  # YOLO has no place for them, and it is said
    one, other = read_labelled(CocoSource(file=painted_sets[1])), read_labelled(YoloSource(root=Path("new")))
    boxes = {image.path.stem: image.boxes_px for image in one.images}
    assert {image.path.stem for image in other.images} == set(boxes)
    for image in other.images:
        np.testing.assert_allclose(image.boxes_px, boxes[image.path.stem], atol=0.01)
    code, _, err = falldet_command("convert", painted_sets[1], "new", "--to", "yolo")
    assert code == 2 and "new: exists already" in err[-1]


def test_audit_finds_a_leak_and_writes_its_page(falldet_command: Command, painted_sets: tuple[Path, Path]):
    train, develop = painted_sets
    code, out, _ = falldet_command("audit", f"train={train}", f"test={develop}")
    assert code == 0
    clean = out.splitlines()
    assert clean[-1] == "audit.html"
    leaking = json.loads(train.read_text())
    leaking["images"][0]["file_name"] = "copy.png"
    (develop.parent / "copy.png").write_bytes((train.parent / "1-00.png").read_bytes())
    leaking["images"] = leaking["images"][:1]
    leaking["annotations"] = leaking["annotations"][:1]
    (develop.parent / "leaking.json").write_text(json.dumps(leaking))
    code, out, _ = falldet_command("audit", f"train={train}", f"test={develop.parent / 'leaking.json'}")
    assert code == 0
    new = [line for line in out.splitlines() if line not in clean]
    assert any("train" in line and "test" in line for line in new), out
    assert "<html" in Path("audit.html").read_text(encoding="utf-8")


def test_eval_judges_a_run_at_its_own_threshold_or_a_chosen_one(
    falldet_command: Command, trained: Path, painted_sets: tuple[Path, Path]
):
    train, develop = painted_sets
    code, out, err = falldet_command("eval", trained, develop, "--out", "own")
    assert code == 0, err
    assert out.endswith("The report: own/report.html\n")
    run = Run.open("own")
    figures = {metric.key: metric.value for metric in run.metrics}
    before = {metric.key: metric.value for metric in Run.open(trained).metrics}
    for key in ("threshold", "ap50_fallen", "ap50_not_fallen", "ap"):  # the file's 16 bits change little
        assert figures[key] == pytest.approx(before[key], abs=0.02)
    assert [entry["path"] for entry in run.inputs] == [str(trained / "model.safetensors")]
    code, out, err = falldet_command("eval", trained, develop, "--develop", train, "--out", "chosen")
    assert code == 0, err
    assert "chosen on" in Path("chosen/report.html").read_text(encoding="utf-8")
    code, out, err = falldet_command("eval", trained / "model.safetensors", develop, "--threshold", "0.9")
    assert code == 0, err
    assert Run.open("runs/eval-model").status == "finished"
    code, out, err = falldet_command("eval", trained / "model.safetensors", develop, "--threshold", "0.8")
    assert code == 0, err
    assert Run.open("runs/eval-model-2").status == "finished"
    table = [line for line in out.splitlines() if develop.parent.name in line or "model" in line]
    assert table


def test_predict_tells_people_in_lines(
    falldet_command: Command, learned: Path, painted_sets: tuple[Path, Path]
):
    folder = painted_sets[1].parent
    Path("two").mkdir()
    for name in ("2-00.png", "2-01.png"):
        (Path("two") / name).write_bytes((folder / name).read_bytes())
    code, out, err = falldet_command("predict", "two", "--model", learned, "--threshold", "0.05")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(lines) == 2
    assert [line["detections"][0]["class"] for line in lines] == ["fallen", "not_fallen"]


def test_check_by_the_command_prints_a_table(falldet_command: Command, painted_sets: tuple[Path, Path]):
    code, out, err = falldet_command("check", *settings_of(*painted_sets))
    assert (code, err) == (0, [])
    assert "random weights" in out and "develop" in out


def test_a_table_in_a_pipe_is_not_cut_at_80_columns(capsys: pytest.CaptureFixture[str]):
    words = [f"word{k}" for k in range(12)]
    print_table(Table([f"column {k}" for k in range(12)], [words]))
    lines = capsys.readouterr().out.splitlines()
    assert any(all(word in line for word in words) for line in lines)
    print_table(Table(["path"], [["[bold]/a/[b]/c"]]))
    assert "[bold]/a/[b]/c" in capsys.readouterr().out  # brackets of names are no markup
