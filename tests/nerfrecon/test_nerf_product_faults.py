"""What a user gets wrong, given to `nerfrecon run` as it is typed: one line that says what to do, and the
stages that were done stay and can be used."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pycolmap", reason="pycolmap is not installed")

from nerfrecon.cli import main
from nerfrecon.product_folder import read_json
from nerfrecon.stages import read_record
from suite.data.images import write_image
from suite.run import Run
from tests.nerfrecon import sfm_scene

SMALL = ("sfm.features=600", "sfm.threads=1", "sfm.scale.type=none", "frames.duplicate_motion=0")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Types `nerfrecon run photos`; gives the exit code and what stands on the terminal, but for stages."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["nerfrecon", "run", *words, "--out", "product", *SMALL])
        with pytest.raises(SystemExit) as ended:
            main()
        said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        return int(ended.value.code or 0), [line for line in said if not is_progress(line)]

    return typed


def is_progress(line: str) -> bool:
    """Of a stage, or of something long in it."""
    return re.search(r"^\[|\.\.\.$|: (\d+ )?(done in|failed after) ", line) is not None


def table(count: int, seed: int = 0, turn_deg: float = 90.0) -> list[np.ndarray]:
    """Photographs of a table with boxes on it."""
    return sfm_scene.photographed(
        sfm_scene.table(seed), sfm_scene.camera(240, 180), sfm_scene.around(count, turn_deg)
    )


def grey_ball(turn: float) -> np.ndarray:
    """A smooth grey ball on a plain table, a little elsewhere in each picture."""
    v, u = np.mgrid[:180, :240].astype(float)
    x, y = (u - 120 - 20 * np.cos(turn)) / 60, (v - 90 - 12 * np.sin(turn)) / 60
    inside = x**2 + y**2 < 1
    light = 90 + 110 * np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)) * (0.8 - 0.3 * x - 0.3 * y)
    return np.repeat(np.where(inside, light, 215)[..., None], 3, 2).clip(0, 255).astype(np.uint8)


def only(said: list[str], *words: str) -> None:
    """One line with these words."""
    assert len(said) == 1, said
    assert all(word in said[0] for word in words), said


@pytest.mark.parametrize(
    ("count", "line"), [(0, "photos: holds no"), (3, "photos: holds 3 photographs, and 6")]
)
def test_none_and_three_photographs(run, tmp_path, count, line):
    (tmp_path / "photos").mkdir()
    sfm_scene.written(tmp_path / "photos", table(count) if count else [])
    code, said = run("photos")
    assert code == 2 and not (tmp_path / "product").exists()
    only(said, line, "; ")


def test_ten_blurred_photographs(run, tmp_path):
    blurred = [np.asarray(cv2.GaussianBlur(one, (0, 0), 5.0), np.uint8) for one in table(10)]
    sfm_scene.written(tmp_path / "photos", blurred)
    code, said = run("photos")
    assert code == 2 and not (tmp_path / "product").exists()
    only(said, "10 of 10 photographs are blurred, 0 are left", "hold")


def test_photographs_of_different_objects(run, tmp_path):
    for name, seed in (("cup", 0), ("jug", 7)):
        sfm_scene.written(tmp_path / "photos", table(4, seed, 45.0), name)
    code, said = run("photos")
    assert code == 2
    only(said, "nothing in common: 4 (", "of 8; they show different objects", "each object on its own")
    assert_frames_can_be_used(tmp_path / "product", 8)
    shutil.rmtree(tmp_path / "product" / "frames")  # what is gone is made again
    assert run("photos") == (2, said)
    assert_frames_can_be_used(tmp_path / "product", 8)


def test_an_object_without_texture(run, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(8):
        write_image(tmp_path / f"photos/{number}.png", grey_ball(0.7 * number))
    code, said = run("photos")
    assert code == 2
    only(said, "too little texture", "printed page or newspaper")
    assert_frames_can_be_used(tmp_path / "product", 8)


def test_a_video_that_cannot_be_decoded(run, tmp_path):
    (tmp_path / "walk.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40)
    code, said = run("walk.mp4")
    assert code == 2 and not (tmp_path / "product").exists()
    only(said, "walk.mp4: ", "; ")


@pytest.mark.parametrize(("size", "stage"), [("200k", "frames"), ("6m", "sfm")])
def test_a_disk_that_is_full(tmp_path, size, stage):
    """A real one of that size, which only this process sees."""
    sfm_scene.written(tmp_path / "photos", table(8))
    (tmp_path / "disk").mkdir()
    words = [sys.executable, "-c", "from nerfrecon.cli import main; main()", "run", "photos", "--out"]
    command = shlex.join([*words, "disk/product", *SMALL])
    script = f"mount -t tmpfs -o size={size} none disk || exit 77; {command}; {command}; cp -r disk kept"
    alone = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", script]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here, for a disk of its own")
    done = subprocess.run(alone, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this user may not mount a disk of his own")
    said = [line for line in done.stderr.splitlines() if line.strip() and not is_progress(line)]
    assert len(said) == 2 and said[0] == said[1], done.stderr
    if stage == "frames":
        only(said[:1], "the disk is full in stage 1 of 7 (frames); make room and give the same command again")
    else:
        only(said[:1], "the disk has ", "finding cameras needs up to", "free some space")
        assert "frames: as it was made before" in done.stderr
        assert_frames_can_be_used(tmp_path / "kept" / "product", 8)


def assert_frames_can_be_used(product: Path, count: int) -> None:
    """The stage is done, its pictures are there, and so are report and costs; the run says that it failed."""
    assert read_record(product / "frames") is not None
    assert len(list((product / "frames" / "images").iterdir())) == count
    assert [one["name"] for one in read_json(product / "product.json")["stages"]] == ["frames"]
    assert (product / "report.html").is_file() and Run.open(product).status == "failed"
