"""`falldet train-evidence`: films are kept, learned from, and others decide from when on somebody is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from falldet_command import Command
from test_falldet_events_lying import film as painted

from falldet import films, train_evidence
from falldet.events.lying import read_lying
from falldet.films import Seen
from falldet.model.file import Model, read_model
from falldet.models import model_file
from falldet.synthetic.film import FilmOptions
from suite.errors import BadInput

TINY = FilmOptions(seed=3, shortest_s=6, longest_s=8, width_px=80, height_px=60)


@pytest.fixture(scope="module")
def light() -> Model:
    return read_model(model_file("light"))


@pytest.fixture
def painted_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes that nobody needs to draw, half of them with a fall."""

    def drawn(options: FilmOptions, seconds: float, model: Model, cache: Path) -> Iterator[Seen]:
        rng = np.random.default_rng(options.seed)
        for number in range(int(seconds // 60)):
            looked, people = painted(rng, number % 2 == 0)
            yield Seen(looked, tuple(tuple(look) for look in people))

    monkeypatch.setattr(train_evidence, "films", drawn)


@pytest.mark.usefixtures("painted_films")
def test_what_is_learned_is_written_with_how_it_was_learned(falldet_command: Command, tmp_path: Path) -> None:
    out = tmp_path / "lying.json"
    settings = ["--seed", "1", "--choose", "9", "--seconds", "120", "--long-px", "512"]
    code, told, _ = falldet_command("train-evidence", out, *settings)
    model = read_lying(out)
    assert code in (0, None) and "0.50  1 of 1 falls, 0 false in 0.03 h" in told
    assert model.learned["detector"] == "light" and model.learned["long_px"] == 512
    assert model.learned["films"] == 2 and model.learned["seeds"] == [1]
    assert model.learned["found"] == "1 of 1 falls, 0 false in 0.03 h"
    # Of thresholds that are as good the highest: other cameras are louder.
    good = [float(line[:4]) for line in told.splitlines() if "1 of 1 falls, 0 false" in line]
    assert model.threshold == max(good)


@pytest.mark.usefixtures("painted_films")
def test_nothing_is_learned_from_what_it_is_chosen_on(light: Model, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seed 2"):
        train_evidence.train_evidence(light, tmp_path / "a.json", seeds=[1, 2], choose=[2], seconds=120)
    with pytest.raises(BadInput, match="falls"):
        train_evidence.train_evidence(light, tmp_path / "a.json", seeds=[], choose=[2], seconds=120)
    assert not list(tmp_path.iterdir())


def test_a_film_is_drawn_and_looked_at_once(
    light: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anny")
    pytest.importorskip("open3d")
    small = light.at_size(96)
    first = films.film(TINY, 0, small, tmp_path)
    assert len(first.looked.looks) == len(first.truth) == len(first.looked.changed) >= 12
    assert all(
        len(found) == len(share)
        for (_, found), share in zip(first.looked.looks, first.looked.changed, strict=True)
    )

    def never(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(films, "draw_film", never)
    again = films.film(TINY, 0, small, tmp_path)
    assert again.truth == first.truth and again.looked.intervals == first.looked.intervals
    with pytest.raises(AssertionError, match="again"):
        films.film(TINY, 0, light.at_size(128), tmp_path)  # which sees it otherwise
