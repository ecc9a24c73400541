"""Constants of the spine against each other, the CT table and published bands."""

import numpy as np
import pytest

from spine.anatomy import (
    ALIGNMENT_NORMS,
    BASE_POINT_IN_S1_MM,
    LEVELS,
    LUMBAR_SHARE,
    PEDICLE_MM,
    RANGE_OF_MOTION_DEG,
    SPACING_MM,
    SPINOUS_FRACTION,
    STANDING_BEND_DEG,
    VERTEBRAE,
    joint_name,
    mid_disc_height_mm,
)
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.shape import shape_table


def _joints(first: str, last: str) -> slice:
    return slice(LEVELS.index(first), LEVELS.index(last))


def test_levels_run_down_the_spine():
    assert len(LEVELS) == 25
    assert LEVELS[0] == "C1" and LEVELS[7] == "T1" and LEVELS[19] == "L1" and LEVELS[-1] == "S1"
    assert joint_name(22) == "L4-L5" and joint_name(23) == "L5-S1"
    assert tuple(VERTEBRAE) == LEVELS[:-1] == tuple(PEDICLE_MM)


def test_spacings_and_pedicle_points_are_those_of_the_ct_table():
    table = shape_table()
    for i in range(23):
        assert SPACING_MM[i] == pytest.approx(table["spacing_mm"][joint_name(i)]["median"], abs=0.06)
    for level, values in PEDICLE_MM.items():
        entry = table["pedicle_mm"][level]
        expected = [entry[key]["median"] for key in ("width", "up", "posterior")]
        np.testing.assert_allclose(values, expected, atol=0.06)


def test_discs_fill_what_the_bodies_leave():
    """Heights of bodies and spacings of centroids have different sources: the discs must come out right."""
    disc = dict(zip((joint_name(i) for i in range(24)), mid_disc_height_mm(), strict=True))
    assert disc["C1-C2"] == 0
    for name, mm in list(disc.items())[1:]:
        # Kunkel 2011: 4.5-7.2 at the rim, 22.7 % more in the middle; lumbar MRI means of the middle 8-14.
        low, high = {"C": (4, 7), "T": (4.5, 9.2), "L": (8, 14)}[name[0]]
        assert low <= mm <= (high if name != "T12-L1" else 11), (name, mm)


def test_pedicles_stand_where_ct_readers_marked_them():
    """Canal and pedicle widths (dissection) against pedicle points (CT): within two SDs of the CT's."""
    for level in LEVELS[7:-1]:
        size, (width, up, back) = VERTEBRAE[level], PEDICLE_MM[level]
        sd = shape_table()["pedicle_mm"][level]["width"]["sd"]
        assert abs(size.canal[0] + size.pedicle[0] - width) < 2 * sd + 1, level
        assert 0 < up < size.mid_height / 2
        assert size.depth / 2 - 5 < back < size.depth / 2 + size.canal[1]


def test_standing_bends_add_up_to_the_norms():
    sums = {
        "lordosis_c2_c7": STANDING_BEND_DEG[_joints("C2", "C7")].sum(),
        "kyphosis_t1_t12": -STANDING_BEND_DEG[_joints("T1", "T12")].sum(),
        "thoracolumbar_t11_l1": STANDING_BEND_DEG[_joints("T11", "L1")].sum(),
    }
    for name, value in sums.items():
        assert value == pytest.approx(ALIGNMENT_NORMS[name].mean), name
    lordosis = STANDING_BEND_DEG[_joints("T12", "S1")].sum()
    assert 49.8 <= lordosis <= 60
    assert 0.67 <= STANDING_BEND_DEG[_joints("L4", "S1")].sum() / lordosis <= 0.72
    # The two lowest segments as radiographs show them: the wedge of the vertebrae comes on top.
    l5 = STANDING_BEND_DEG[23] + VERTEBRAE["L5"].wedge / 2
    l4 = STANDING_BEND_DEG[22] + (VERTEBRAE["L4"].wedge + VERTEBRAE["L5"].wedge) / 2
    assert ALIGNMENT_NORMS["segment_l5_s1"].low < l5 < ALIGNMENT_NORMS["segment_l5_s1"].high
    assert l4 == pytest.approx(ALIGNMENT_NORMS["segment_l4_l5"].mean, abs=2)


def test_standing_is_not_less_lordotic_than_lying():
    """PMC6680033: 13 deg more in T12-S1 when standing; the CT table ends with the bend at L4."""
    supine = sum(shape_table()["supine_bend_deg"][level]["median"] for level in ("L1", "L2", "L3", "L4"))
    T = forward_kinematics(standing_template(), SpinePose())
    step = T[:-1, :3, 3] - T[1:, :3, 3]
    tilt = np.degrees(np.arctan2(step[:, 2], step[:, 1]))
    standing = tilt[_joints("T12", "S1")][0] - tilt[_joints("T12", "S1")][-2]  # T12-L1 against L4-L5
    assert 0 < standing - supine < 13


def test_spinous_tips_lie_where_ernst_found_them():
    T = forward_kinematics(standing_template(), SpinePose())
    tips = [T[i, :3, :3] @ VERTEBRAE[LEVELS[i]].spinous_tip + T[i, :3, 3] for i in range(6, 24)]
    line = np.array([*tips, T[24, :3, :3] @ BASE_POINT_IN_S1_MM])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    for level, fraction in SPINOUS_FRACTION.items():
        assert along[LEVELS.index(level) - 6] / along[-1] == pytest.approx(fraction, abs=0.03), level


def test_gravity_line_is_that_of_a_balanced_person():
    T = forward_kinematics(standing_template(), SpinePose())
    corner = T[24, :3, :3] @ [0, 0, 17.0] + T[24, :3, 3]
    axis = -(T[LEVELS.index("C7"), 2, 3] - corner[2])
    norm = ALIGNMENT_NORMS["sagittal_vertical_axis"]
    assert norm.low <= axis <= norm.high


def test_motion_tables():
    assert RANGE_OF_MOTION_DEG.shape == (24, 3) and (RANGE_OF_MOTION_DEG > 0).all()
    assert RANGE_OF_MOTION_DEG[0, 1] == RANGE_OF_MOTION_DEG[:, 1].max()  # the head turns on C1-C2
    assert (RANGE_OF_MOTION_DEG[_joints("T1", "T10"), 1] > RANGE_OF_MOTION_DEG[18:23, 1].max()).all()
    np.testing.assert_allclose(LUMBAR_SHARE.sum(0), 1, atol=2e-3)
    for norm in ALIGNMENT_NORMS.values():
        assert norm.low <= norm.mean <= norm.high and norm.source
