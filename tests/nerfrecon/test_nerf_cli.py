"""The command line: recipes, check, train, render, and faults as one line with an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scene_folders import known_scene, write_transforms

from nerfrecon.cli import RECIPES, nerfrecon
from nerfrecon.config import NerfreconConfig
from suite.config import load_config

SMALL = (
    "train.backend=torch",
    "train.steps=20",
    "train.batch.first_samples=1024",
    "train.batch.last_samples=1024",
    "field.grid.levels=4",
    "field.grid.log2_table=10",
    "field.grid.finest_resolution=64",
    "sampling.occupancy_resolution=32",
    "sampling.step=0.02",
    "look.times=1",
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("balls")
    write_transforms(folder, known_scene(9))
    return folder


def test_every_recipe_is_a_configuration_and_is_listed():
    listed = CliRunner().invoke(nerfrecon, ["check", "--list"]).output
    for path in RECIPES.glob("*.yaml"):
        assert load_config(NerfreconConfig, path, ()).config.name == path.stem
        assert path.stem in listed
    assert len(listed.splitlines()) == 3


def test_check_train_and_render(scene, tmp_path):
    runner = CliRunner()
    checked = runner.invoke(nerfrecon, ["check", "object", f"scene={scene}", *SMALL], catch_exceptions=False)
    assert checked.exit_code == 0 and "7 to learn from, 2 held out" in checked.output
    run = tmp_path / "run"
    trained = runner.invoke(
        nerfrecon, ["train", "object", f"scene={scene}", *SMALL, "--out", str(run)], catch_exceptions=False
    )
    assert trained.exit_code == 0 and (run / "report.html").is_file()
    done = runner.invoke(
        nerfrecon,
        ["render", str(run), "--depth", "--scale", "0.5", "--backend", "torch"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0 and "2 views" in done.output
    assert np.asarray(Image.open(run / "views/0000.png")).shape == (24, 32, 3)
    assert np.asarray(Image.open(run / "views/0000-depth.png")).dtype == np.uint16
    turn = ["render", str(run), "--orbit", "3", "--scale", "0.5", "--out", str(tmp_path / "turn")]
    assert runner.invoke(nerfrecon, turn, catch_exceptions=False).exit_code == 0
    frames = [np.asarray(Image.open(tmp_path / f"turn/000{k}.png")) for k in range(3)]
    assert len(frames) == 3 and not np.array_equal(frames[0], frames[1])


def test_faults_are_one_line_and_the_settings_stay_light(tmp_path):
    def left(*words: str) -> tuple[int, str]:
        code = "from nerfrecon.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        return done.returncode, done.stderr.strip()

    code, said = left("train", "object", f"scene={tmp_path / 'nowhere'}", "train.steps=nine")
    assert code == 2 and "train.steps" in said and "Traceback" not in said
    code, said = left("render", str(tmp_path))
    assert code == 2 and len(said.splitlines()) == 1 and "no config.yaml here" in said
    heavy = ["numpy", "torch", "cv2", "scipy", "matplotlib", "PIL"]
    light = (
        "import sys, nerfrecon.cli, nerfrecon.config, nerfrecon.options, nerfrecon.doctor\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
