"""`falldet eval-events` on small videos, with a detector that reads what is painted in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from falldet_command import Command
from falling_people import down, said, up

from falldet.detections import Detections
from falldet.eval_events import evaluate_events
from falldet.events.options import EventOptions
from suite.data.video import VideoWriter
from suite.errors import BadInput


@dataclass(frozen=True)
class Card:
    threshold: float = 0.5


class Painted:
    """Somebody who lies where the picture is bright, else stands."""

    card = Card()
    looked = 0

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        self.looked += len(pictures)
        return [said([down() if picture.mean() > 128 else up()]) for picture in pictures]


def paint(path: Path, bright: tuple[float, float], seconds: float = 8.0) -> None:
    with VideoWriter(path, 10) as video:
        for k in range(int(seconds * 10)):
            level = 230 if bright[0] <= k / 10 < bright[1] else 20
            video.write(np.full((48, 64, 3), level, np.uint8), k / 10)


@pytest.fixture
def falls(tmp_path: Path) -> Path:
    paint(tmp_path / "fall.mp4", (3, 8))
    paint(tmp_path / "quiet.mp4", (99, 99))
    paint(tmp_path / "false.mp4", (2, 8))
    with (tmp_path / "falls.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["video", "onset_s", "end_s", "kind"])
        lines.writerows([["fall.mp4", 3, 8, "fall"], ["quiet.mp4", "", "", ""], ["false.mp4", 1, 7, "sit"]])
    return tmp_path / "falls.csv"


def test_a_run_has_figures_looks_and_a_page_that_names_failures(falls: Path, tmp_path: Path) -> None:
    detector = Painted()
    done = evaluate_events(detector, [falls], tmp_path / "run", name="painted")
    found = done.judgement
    assert (found.falls, found.found, found.false) == (1, 1, 1)
    assert found.delay_s() == pytest.approx(1.5, abs=0.11)
    assert detector.looked == 48  # three videos of 8 s, two looks a second
    page = done.page.read_text()
    assert "false.mp4" in page and "false alarm: sit" in page and "smoke test" in page
    assert len((tmp_path / "run" / "looks.jsonl").read_text().splitlines()) == 48
    assert '"recall"' in (tmp_path / "run" / "metrics.json").read_text()


def test_settings_are_chosen_on_other_videos_and_never_on_those_reported(
    falls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [(EventOptions(threshold=at), at) for at in (0.4, 0.6)]
    monkeypatch.setattr("falldet.eval_events.grid", lambda *_: few)
    paint(tmp_path / "other.mp4", (2, 6))
    held = tmp_path / "held.csv"
    held.write_text("video,onset_s,end_s,kind\nother.mp4,2,6,fall\n")
    done = evaluate_events(Painted(), [falls], tmp_path / "run", develop=[held])
    assert done.chosen is not None and done.chosen.judgement.found == 1
    assert "chosen on" in done.page.read_text()
    with pytest.raises(BadInput, match="reported on and chosen on"):
        evaluate_events(Painted(), [falls], tmp_path / "run2", develop=[falls])


def test_what_cannot_be_watched_is_one_line(falls: Path, tmp_path: Path, falldet_command: Command) -> None:
    with pytest.raises(BadInput, match="looks a second"):
        evaluate_events(Painted(), [falls], tmp_path / "run", looks_per_s=0)
    (tmp_path / "quiet.mp4").write_text("no video")
    with pytest.raises(BadInput, match=r"quiet\.mp4"):
        evaluate_events(Painted(), [falls], tmp_path / "run", options=EventOptions())
    code, _, lines = falldet_command("eval-events", "light", str(tmp_path / "nowhere.csv"))
    assert code == 2 and len(lines) == 1 and "no such file or folder" in lines[0]
