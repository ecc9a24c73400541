"""The trunk of a drawn figure: without head, legs and free arms, whole where these are not seen."""

from __future__ import annotations

import numpy as np
import pytest

from spine.trunk_crop import BASE_OVER_CROTCH, CELL_MM, OVER_NECK_MM, on_trunk

NECK_MM, CROTCH_MM = 480.0, -170.0


def figure(low: float = -450.0, high: float = 720.0, legs: bool = True, turn: float = 0.0) -> np.ndarray:
    """Points 4 mm apart: head, a neck that is narrowest at NECK_MM, shoulders, arms 60 mm off, two legs."""
    x, y = np.meshgrid(np.arange(-340.0, 340.0, 4.0), np.arange(low, high, 4.0))
    x = x - turn * y / 1000
    half = np.interp(y, [-500, -170, 0, 150, 350, 420, 445, NECK_MM, 520, 600, 680, 700],
                     [150, 160, 150, 130, 165, 180, 110, 55, 60, 78, 50, 0])  # fmt: skip
    body = np.abs(x) < half
    if legs:
        body &= ~((y < CROTCH_MM) & (np.abs(x) < 25))
    arms = (np.abs(np.abs(x) - 250) < 35) & (y > -200) & (y < 390)
    body |= (np.abs(x) < 285) & (y >= 350) & (y < 400)  # where the arms join
    z = -0.002 * x**2
    return np.stack([x, y, z], axis=-1)[body | arms]


@pytest.mark.parametrize("turn", [0.0, 40.0])
def test_head_legs_and_free_arms_are_left_out(turn):
    points = figure(turn=turn)
    kept = points[on_trunk(points)]
    assert kept[:, 1].max() == pytest.approx(NECK_MM + OVER_NECK_MM, abs=2 * CELL_MM)
    low = CROTCH_MM + BASE_OVER_CROTCH * (NECK_MM - CROTCH_MM)
    assert kept[:, 1].min() == pytest.approx(low, abs=3 * CELL_MM)
    below_arms = kept[kept[:, 1] < 330]
    assert np.abs(below_arms[:, 0]).max() < 180
    inner = points[(np.abs(points[:, 0]) < 100) & (points[:, 1] > low + 4 * CELL_MM) & (points[:, 1] < 440)]
    assert (
        len(inner)
        == ((np.abs(kept[:, 0]) < 100) & (kept[:, 1] > low + 4 * CELL_MM) & (kept[:, 1] < 440)).sum()
    )


def test_a_back_alone_stays_whole():
    points = figure(low=-60.0, high=470.0)
    points = points[np.abs(points[:, 0]) < 185]
    assert on_trunk(points).all()


def test_the_crown_of_the_head_is_no_neck():
    points = figure()
    child = points * [0.75, 0.75, 1.0]
    assert child[on_trunk(child), 1].max() == pytest.approx(0.75 * NECK_MM + OVER_NECK_MM, abs=2 * CELL_MM)


def test_legs_that_do_not_part_are_cut_by_length():
    points = figure(low=-450.0, legs=False)
    kept = points[on_trunk(points)]
    assert -450 < kept[:, 1].min() == pytest.approx(NECK_MM - 640, abs=3 * CELL_MM)


def test_pinholes_do_not_part_the_trunk():
    points = figure()
    holes = np.random.default_rng(0).random(len(points)) < 0.2
    a, b = on_trunk(points)[~holes], on_trunk(points[~holes])
    assert (a == b).mean() > 0.99


def test_a_frayed_lower_end_is_no_crotch():
    """Where a stool hides the legs, skin ends at the buttocks in tongues."""
    points = figure(low=-60.0, legs=False)
    tongues = (points[:, 1] > -40) | (np.abs(points[:, 0]) > 20)
    kept = points[tongues][on_trunk(points[tongues])]
    assert kept[:, 1].min() < -50
