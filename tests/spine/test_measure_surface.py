"""Indices of the back surface: pelvis, humps and outline on surfaces whose shape is known exactly."""

import numpy as np
import pytest

from spine.anatomy import LEVELS
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.heightmap import HeightMap
from spine.measure import measure
from spine.measure.potsi import trunk_outline
from suite.errors import BadInput

STEP = 2.0
BASE, C7 = np.array([0.0, 0.0, 0.0]), np.array([0.0, 480.0, 10.0])
SPINE = forward_kinematics(standing_template(), SpinePose(root_translation_mm=np.array([0.0, 20.0, -60.0])))
LINE = (np.linspace(0, 480, 97), np.zeros(97), np.zeros(97))


def back(z_of, seen_of=None) -> HeightMap:
    x, y = np.arange(-300, 301, STEP), np.arange(-60, 601, STEP)
    xx, yy = np.meshgrid(x, y)
    seen = np.ones(xx.shape, bool) if seen_of is None else seen_of(xx, yy)
    return HeightMap(x, y, z_of(xx, yy), seen)


def dome(x, y):
    return -0.002 * x**2


def person(waist=(110.0, 110.0), axilla=(150.0, 150.0), dy_axilla=0.0, dy_shoulder=0.0, dy_waist=0.0):
    """Silhouette with waists at y = 150, axillae at 380, shoulders at 455, each (left, right); dy raises the
    right side."""

    def seen(x, y):
        right = x >= 0
        low, up = np.where(right, waist[1], waist[0]), np.where(right, axilla[1], axilla[0])
        y_waist, y_axilla = 150 + dy_waist * right, 380 + dy_axilla * right
        flank = np.where(
            y > y_waist,
            low + (up - low) * np.clip((y - y_waist) / (y_axilla - y_waist), 0, 1) ** 2,
            low + 30 * np.clip((y_waist - y) / y_waist, 0, 1.5) ** 2,
        )
        out = np.abs(x)
        arm = (out > up + 10) & (out < up + 70)  # hangs beside the trunk, parted from it by 10 mm
        top = 455 + dy_shoulder * right
        trunk = (out <= flank) & (y <= y_axilla)
        chest = (out <= up + 70) & (y > y_axilla) & (y <= top)
        neck = (out <= 50) & (y <= 560)
        return trunk | (arm & (y <= top)) | chest | neck

    return seen


def indices_of(surface: HeightMap, base=BASE, c7=C7, **dimples):
    landmarks = {"vp_mm": c7, "base_mm": base, **dimples}
    return measure(SPINE, surface=surface, landmarks=landmarks, line=LINE)


def potsi_of(c7=C7, **shape) -> float:
    return indices_of(back(dome, person(**shape)), c7=c7).number("potsi_percent")


def test_hump_has_the_height_and_side_it_was_given():
    y_of = {level: SPINE[i, 1, 3] for i, level in enumerate(LEVELS)}

    def humps(x, y, right=12.0, left=7.0):
        thoracic = right * np.exp(-(((x - 70) / 30) ** 2) - ((y - y_of["T8"]) / 40) ** 2)
        lumbar = left * np.exp(-(((x + 60) / 30) ** 2) - ((y - y_of["L3"]) / 30) ** 2)
        return dome(x, y) + thoracic + lumbar

    indices = indices_of(back(humps))
    assert indices.number("hump_thoracic_mm") == pytest.approx(
        12, rel=0.1
    )  # averaged over 20 mm: a little less
    assert indices.number("hump_lumbar_mm") == pytest.approx(-7, rel=0.12)
    expected = indices.number("hump_thoracic_mm") - indices.number("hump_lumbar_mm")
    assert indices.number("hump_sum_mm") == pytest.approx(expected)
    mirrored = indices_of(back(lambda x, y: humps(-x, y)))
    assert mirrored.number("hump_thoracic_mm") == pytest.approx(-indices.number("hump_thoracic_mm"))
    assert mirrored.number("hump_sum_mm") == pytest.approx(expected)
    flat = indices_of(back(dome))
    assert flat.number("hump_sum_mm") == pytest.approx(0, abs=1e-9)


def test_humps_need_skin_on_both_sides():
    half = back(dome, lambda x, y: x > -15)
    indices = indices_of(half)
    assert indices["hump_sum_mm"].value is None and "both sides" in indices["hump_sum_mm"].note
    assert measure(SPINE, line=LINE)["hump_sum_mm"].note == "no back surface"


def test_hump_is_robust_to_noise():
    noisy = back(lambda x, y: dome(x, y) + np.random.default_rng(1).normal(0, 1.0, x.shape))
    assert indices_of(noisy).number("hump_sum_mm") < 1.5


def test_pelvic_tilt_and_torsion():
    left, right = np.array([-45.0, 2.0, 0.0]), np.array([45.0, 8.0, 0.0])
    level = indices_of(back(dome), dimple_left_mm=left, dimple_right_mm=right)
    assert level.number("pelvic_tilt_mm") == pytest.approx(6)
    assert level.number("pelvic_tilt_deg") == pytest.approx(np.degrees(np.arctan2(6, 90)))
    assert level.number("pelvic_torsion_deg") == pytest.approx(0, abs=1e-9)

    def twisted(
        x, y
    ):  # on the right the skin rises backwards going up: it faces down, the pelvis is turned back
        return np.where(x > 0, np.tan(np.radians(4)), -np.tan(np.radians(3))) * y

    torsion = indices_of(back(twisted), dimple_left_mm=left, dimple_right_mm=right).number(
        "pelvic_torsion_deg"
    )
    assert torsion == pytest.approx(7, abs=1e-6)
    unseen = back(dome, lambda x, y: y > 20)
    index = indices_of(unseen, dimple_left_mm=left, dimple_right_mm=right)["pelvic_torsion_deg"]
    assert index.value is None and "dimples" in index.note


def test_potsi_of_a_symmetric_person_is_zero():
    assert potsi_of() == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"waist": (100.0, 120.0)}, 100 * 20 / 220),
        ({"axilla": (140.0, 160.0)}, 100 * 20 / 300),
        ({"dy_waist": 24.0}, 100 * 24 / 480),
        ({"dy_axilla": 24.0, "dy_shoulder": 0.0}, 100 * 24 / 480),
        ({"dy_shoulder": 24.0}, 100 * 24 / 480),
        ({"c7": C7 + np.array([22.0, 0, 0])}, 100 * 22 / 220),
    ],
)
def test_potsi_adds_each_asymmetry(shape, expected):
    assert potsi_of(**shape) == pytest.approx(expected, abs=1.6)  # two cells of the grid


def test_potsi_is_the_same_for_the_mirror_image():
    shape = {"waist": (100.0, 118.0), "axilla": (152.0, 141.0), "dy_shoulder": 12.0}
    surface = back(dome, person(**shape))
    other = HeightMap(surface.x_mm, surface.y_mm, surface.z_mm[:, ::-1], surface.observed[:, ::-1])
    one, two = indices_of(surface).number("potsi_percent"), indices_of(other).number("potsi_percent")
    assert one > 10 and two == pytest.approx(one, abs=0.2)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (lambda x, y: np.abs(x) < 90, "axillary fold"),  # a scan cropped to a strip
        (lambda x, y: y < 462, "shoulder"),
        (lambda x, y: (y > 250) | (np.abs(x) < 70), "waist"),
        (lambda x, y: np.abs(y - 200) > 6, "not measured"),
    ],
)
def test_potsi_needs_the_outline_of_the_body_and_not_of_the_scan(cut, reason):
    whole = person()
    surface = back(dome, lambda x, y: whole(x, y) & cut(x, y))
    index = indices_of(surface, c7=np.array([0.0, 450.0, 10.0]))["potsi_percent"]
    assert index.value is None and reason in index.note


def test_outline_points_lie_where_they_were_drawn():
    outline = trunk_outline(back(dome, person(waist=(100.0, 120.0), dy_axilla=20.0)), C7, BASE)
    assert not isinstance(outline, str)
    assert outline.waist_left[0] == -100 and outline.waist_right[0] == 120
    assert outline.waist_left[1] == pytest.approx(150, abs=22)  # a flank is flat at the waist
    assert outline.waist_right[1] == pytest.approx(150, abs=22)
    assert outline.axilla_right == pytest.approx([150, 400], abs=3)
    assert outline.shoulder_left[1] == pytest.approx(455, abs=STEP)


def test_surface_rotation_of_the_line():
    y = np.linspace(0, 480, 97)
    line = (y, np.zeros(97), 6 * np.sin(2 * np.pi * y / 480) - 3)
    indices = measure(SPINE, line=line)
    assert indices.number("surface_rotation_max_deg") == pytest.approx(-9, abs=0.01)
    assert indices.number("surface_rotation_rms_deg") == pytest.approx(np.sqrt(18 + 9), rel=0.02)
    with pytest.raises(BadInput, match="finite"):
        measure(SPINE, line=(y, np.zeros(97), np.full(97, np.nan)))
