"""Up and the seen side are found for any file axes; fronts, halves and fragments are refused or flagged."""

from __future__ import annotations

import itertools

import analytic_back
import numpy as np
import pytest

from spine.evidence import back_evidence, completeness_flags
from spine.heightmap import rasterize
from spine.orientation import COARSE_MM, axis_vector, crop_to_trunk, upright
from spine.surface import back_surface
from suite.errors import BadInput

TURNS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product([1, -1], repeat=3)
]
TURNS = [R for R in TURNS if np.linalg.det(R) > 0]


def test_axis_names():
    assert axis_vector("-y").tolist() == [0, -1, 0]
    assert axis_vector("+z").tolist() == [0, 0, 1]


@pytest.mark.parametrize("turn", range(24))
def test_all_24_axis_frames_of_a_file_are_found(turn):
    R = TURNS[turn]
    frame = upright(analytic_back.scan(hump_mm=8.0) @ R.T)
    assert np.allclose(frame.R_body_input @ R, np.eye(3), atol=1e-9)
    assert not frame.gravity_known and not frame.flags


def test_gravity_gives_up_even_between_the_axes():
    c, s = np.cos(0.4), np.sin(0.4)
    pitch = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    points = analytic_back.scan() @ pitch.T
    frame = upright(points, down_input=pitch @ [0, -9.81, 0])
    assert frame.gravity_known
    assert np.allclose(frame.R_body_input[1], pitch @ [0, 1, 0])
    assert np.degrees(np.arccos(frame.R_body_input[2] @ pitch @ [0, 0, 1])) < 6


def test_a_stated_axis_is_obeyed():
    points = analytic_back.scan()
    frame = upright(points, up="+y", facing="+z")
    assert frame.gravity_known and np.allclose(frame.R_body_input, np.eye(3))
    assert "stated" in " ".join(frame.notes)


def test_a_large_turn_of_the_body_is_taken_out():
    c, s = np.cos(0.5), np.sin(0.5)
    yaw = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    frame = upright(analytic_back.scan() @ yaw.T, up="+y", facing="+z")
    assert any("turned" in note for note in frame.notes)
    left = np.degrees(np.arctan2(*(frame.R_body_input @ yaw)[[0, 0], [2, 0]]))
    assert abs(left) < 8


@pytest.mark.parametrize("seed", range(3))
def test_a_front_view_is_refused_in_one_clear_line(seed):
    points = analytic_back.in_camera(analytic_back.scan("front", seed=seed, noise_mm=1.0))
    with pytest.raises(BadInput, match="looks like the front of the trunk") as refused:
        back_surface(points, where="scan.ply")
    assert str(refused.value).startswith("scan.ply: ") and "\n" not in str(refused.value)


def test_a_front_view_whose_side_is_stated_is_flagged():
    points = analytic_back.scan("front")
    assert any("hardly" in flag for flag in upright(points, up="+y", facing="+z").flags)


def test_evidence_tells_back_from_front_and_up_from_down():
    back = back_evidence(rasterize(analytic_back.scan(), COARSE_MM))
    front = back_evidence(rasterize(analytic_back.scan("front"), COARSE_MM))
    inverted = back_evidence(rasterize(analytic_back.scan() * [-1, -1, 1], COARSE_MM))
    assert back and front and inverted
    assert back.score > 1 > -1 > front.score
    assert back.s_profile_mm > 20 and inverted.s_profile_mm < -20
    assert abs(back.x0_mm) <= 5 and abs(back.yaw_deg) < 1 and back.asymmetry_mm < 1


def test_a_deep_hollow_does_not_turn_the_back_inside_out():
    points = analytic_back.scan()
    u = points[:, 1] / analytic_back.HEIGHT_MM
    # in the middle the back is bent more strongly than it is round
    points[:, 2] -= 40 * np.cos(np.pi * (u - 0.5) / 0.33) * (np.abs(u - 0.5) < 0.4)
    for turn in (np.eye(3), np.diag([-1.0, -1.0, 1.0])):
        assert np.allclose(upright(points @ turn.T).R_body_input @ turn, np.eye(3), atol=1e-9)


def test_the_neck_tells_the_upper_end_of_a_flat_back():
    points = analytic_back.scan()
    points[:, 2] -= analytic_back.sagittal_mm(points[:, 1] / analytic_back.HEIGHT_MM)  # no S at all
    assert upright(points * [-1, -1, 1]).R_body_input[1, 1] < -0.9


def test_evidence_needs_both_sides():
    points = analytic_back.scan()
    assert back_evidence(rasterize(points[np.abs(points[:, 0]) < 40], COARSE_MM)) is None


@pytest.mark.parametrize("side", [-1, 1])
def test_half_a_back_is_refused(side):
    points = analytic_back.scan()
    with pytest.raises(BadInput):
        back_surface(analytic_back.in_camera(points[side * points[:, 0] > 4]))


def test_half_a_back_is_named_as_such():
    points = analytic_back.scan()
    whole = back_evidence(rasterize(points, COARSE_MM))
    assert whole
    with pytest.raises(BadInput, match="half of the back"):
        completeness_flags(rasterize(points[points[:, 0] > 4], COARSE_MM), whole)
    assert completeness_flags(rasterize(points, COARSE_MM), whole) == ()


def test_a_missing_upper_third_is_flagged():
    points = analytic_back.scan()
    surface = back_surface(analytic_back.in_camera(points[points[:, 1] < 0.66 * analytic_back.HEIGHT_MM]))
    assert any("vertebra prominens" in flag for flag in surface.flags)


def test_a_missing_lower_third_is_flagged_or_refused():
    points = analytic_back.scan()
    try:
        surface = back_surface(analytic_back.in_camera(points[points[:, 1] > 0.4 * analytic_back.HEIGHT_MM]))
    except BadInput as refused:
        assert "lower back is missing" in str(refused)
    else:
        assert any("lower back" in flag for flag in surface.flags)


def test_a_whole_body_is_cropped_to_its_trunk():
    random = np.random.default_rng(0)
    body = random.uniform([-250, 0, -100], [250, 1700, 100], (20_000, 3))
    kept = body[crop_to_trunk(body)]
    assert kept[:, 1].min() > 0.45 * 1700 and kept[:, 1].max() < 0.9 * 1700
    assert np.abs(kept[:, 0]).max() < 0.14 * 1700
    assert crop_to_trunk(analytic_back.scan()).all()


def test_a_closed_body_shows_its_back_and_hides_its_chest():
    front = analytic_back.scan("front", seed=1) * [-1, 1, -0.7] - [0, 0, 20]
    random = np.random.default_rng(0)
    u, side = random.random(6000), random.choice([-0.97, 0.97], 6000)
    flanks = np.stack(
        [side * analytic_back.half_width_mm(u), u * analytic_back.HEIGHT_MM, random.uniform(-80, 40, 6000)],
        axis=1,
    )
    body = np.concatenate([analytic_back.scan(), front, flanks])
    for R in (np.eye(3), np.diag([-1.0, 1.0, -1.0]), TURNS[5]):
        surface = back_surface(body @ R.T)
        assert np.allclose(surface.T_body_input[:3, :3] @ R, np.eye(3), atol=1e-9)
        assert any("closed body" in note for note in surface.notes)
        assert surface.noise_mm < 1
