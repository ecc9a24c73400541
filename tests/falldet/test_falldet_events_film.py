"""Films: a function of seed and number, in which nobody floats, sinks or jumps, and falls are in sight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from falldet.synthetic.film import Film, FilmOptions, draw_film
from falldet.synthetic.film_keys import between, mirrored, vertices_of
from falldet.synthetic.film_script import FALL

OPTIONS = FilmOptions(seed=3, shortest_s=40, longest_s=60, width_px=160, height_px=120)


@pytest.fixture(scope="module")
def film() -> Film:
    pytest.importorskip("anny")
    pytest.importorskip("open3d")
    films = (draw_film(OPTIONS, number) for number in itertools.count())
    return next(film for film in films if any(act.kind == FALL for act in film.acts))


def test_acts_are_in_order_and_inside_the_film(film: Film) -> None:
    assert all(0 <= act.start_s < act.end_s <= film.seconds for act in film.acts)
    assert [act.start_s for act in film.acts] == sorted(act.start_s for act in film.acts)
    times = film.actors[0].times_s
    assert all(a < b for a, b in itertools.pairwise(times)) and times[-1] >= film.seconds


def test_bodies_stand_or_lie_on_the_floor_and_nobody_jumps(film: Film) -> None:
    actor = film.actors[0]
    before = None
    for time_s in np.arange(0, film.seconds, 0.25).tolist():
        key = actor.at(time_s)
        low = vertices_of(actor.body, key)[:, 2].min()
        assert low >= -0.02 and (not key.grounded or low < 0.02)
        if before is not None:
            assert np.linalg.norm(key.p - before) < 1.0  # falls are the fastest: 4 m/s
        before = key.p


def test_a_fall_ends_on_the_floor(film: Film) -> None:
    fall = next(act for act in film.acts if act.kind == FALL)
    actor = film.actors[0]
    start, landed = (vertices_of(actor.body, actor.at(fall.start_s + s))[:, 2].max() for s in (0.0, 3.0))
    assert landed < 1.2 and landed < start and actor.at(fall.start_s + 3.0).fallen


def test_halfway_keys_have_the_ends_they_lie_between(film: Film) -> None:
    a, b = film.actors[0].keys[:2]
    for share, end in ((0.0, a), (1.0, b)):
        made = between(a, b, share)
        assert np.allclose(made.R, end.R) and np.allclose(made.p, end.p)
        for name, turn in end.pose.turns_deg.items():
            assert np.allclose(made.pose.turns_deg[name], turn, atol=1e-6)
    twice = mirrored(mirrored(a))
    assert np.allclose(twice.R, a.R) and twice.pose.turns_deg.keys() == a.pose.turns_deg.keys()


def test_the_same_film_is_drawn_again(film: Film) -> None:
    again = draw_film(OPTIONS, film.number)
    first, second = (list(itertools.islice(one.shots(), 2)) for one in (film, again))
    assert again.acts == film.acts
    assert all(
        np.array_equal(a.rgb, b.rgb) and a.boxes_px == b.boxes_px for a, b in zip(first, second, strict=True)
    )
    assert first[0].rgb.shape == (120, 160, 3) and not np.array_equal(first[0].rgb, first[1].rgb)
