"""Laws that hold for any chain: mirror images, views, gravity."""

import numpy as np
import pytest
from known_chains import C7, S1, mirrored, planar_chain, random_chain, tilts, turned

from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.measure import measure
from spine.measure.definitions import DEFINITIONS
from spine.measure.scalars import chain_scalars, identify
from spine.shape import load_shape_modes

ODD = {
    *(
        "apical_translation_mm",
        "lateral_max_mm",
        "coronal_balance_mm",
        "rotation_apical_deg",
        "rotation_max_deg",
    ),
    *("rotation_apical_to_pelvis_deg", "torsion_thoracic_per_m", "torsion_lumbar_per_m"),
    *(f"rotation_{region}_deg" for region in ("proximal_thoracic", "main_thoracic", "lumbar")),
}
SEEN = measure(random_chain(0), shape_space=load_shape_modes())
OF_CHAIN = [d for d in DEFINITIONS if SEEN[d.key].value is not None]


@pytest.mark.parametrize("seed", range(6))
def test_a_mirrored_spine_swaps_sides_and_keeps_sizes(seed):
    T, modes = random_chain(seed), load_shape_modes()
    one, other = measure(T, shape_space=modes), measure(mirrored(T), shape_space=modes)
    for d in OF_CHAIN:
        a, b = one[d.key].value, other[d.key].value
        if a is None or b is None:
            assert a is b
        elif d.circular:
            assert abs((a + b + 180) % 360 - 180) < 1e-4
        else:
            assert b == pytest.approx(-a if d.key in ODD else a, abs=1e-5), d.key
    swap = {"right": "left", "left": "right"}
    assert [swap[c.side] for c in one.curves] == [c.side for c in other.curves]
    assert [(c.upper, c.apex, c.lower) for c in one.curves] == [
        (c.upper, c.apex, c.lower) for c in other.curves
    ]


@pytest.mark.parametrize("seed", range(4))
def test_facing_another_way_changes_no_shape(seed):
    T = random_chain(seed)
    identity = identify(T, None, None)
    other = turned(T, (0, 17, 0))
    before, after = (chain_scalars(chain[None], identity) for chain in (T, other))
    same = [key for key in before if key.startswith(("davinci", "pmc", "curvature", "torsion"))]
    same.append("rotation_apical_to_pelvis_deg")
    for key in same:
        turn = 17 if key.endswith("azimuth_deg") else 0
        difference = (after[key][0] - before[key][0] - turn + 180) % 360 - 180
        assert difference == pytest.approx(0, abs=0.2 if key.startswith("pmc") else 1e-6), key
    modes = load_shape_modes()
    distances = [measure(chain, shape_space=modes).number("normality_3d") for chain in (T, other)]
    assert distances[0] == pytest.approx(distances[1])


def test_regions_follow_the_curves():
    indices = measure(planar_chain(tilts(T1=0, T4=14, T9=-18, L5=4, S1=4), "coronal"))
    assert indices["pmc_main_thoracic_deg"].note == "T4–T9"
    assert indices.number("pmc_main_thoracic_deg") == pytest.approx(32, abs=0.01)
    assert indices.number("pmc_main_thoracic_azimuth_deg") == pytest.approx(90, abs=0.01)
    assert indices.number("davinci_main_thoracic_azimuth_deg") == pytest.approx(90, abs=1e-6)
    straight = measure(forward_kinematics(standing_template(), SpinePose()))
    assert straight["davinci_lumbar_mm"].note.startswith("T12–L5")


def test_gravity_decides_balance_and_nothing_of_the_shape():
    T = random_chain(3)
    one, leaning = measure(T), measure(turned(T, (0, 0, -6)))  # clockwise from behind: to the right
    height = T[C7, 1, 3] - T[S1, 1, 3]
    gained = leaning.number("coronal_balance_mm") - one.number("coronal_balance_mm")
    assert gained == pytest.approx(height * np.sin(np.radians(6)), rel=0.1)
    assert leaning.number("torsion_abs_per_m") == pytest.approx(one.number("torsion_abs_per_m"))
    assert leaning.number("lateral_rms_mm") == pytest.approx(one.number("lateral_rms_mm"), rel=0.05)
    assert leaning.number("cobb_deg") == pytest.approx(one.number("cobb_deg"), abs=1.0)
    back = measure(turned(T, (6, 0, 0)))
    assert back.number("sagittal_balance_mm") < one.number("sagittal_balance_mm") - 30
    assert back.number("sacral_slope_deg") == pytest.approx(one.number("sacral_slope_deg") - 6, abs=0.2)
