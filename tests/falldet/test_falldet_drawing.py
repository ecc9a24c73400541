"""Drawn boxes lie where they were found and can be told apart, also without colour vision."""

from __future__ import annotations

import numpy as np
import pytest

from falldet.detections import Detections
from falldet.looking.drawing import BLACK, BLUE, VERMILION, WHITE, draw


def people(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels, np.int64))


def ground(height: int = 240, width: int = 320, level: int = 120) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of sRGB (WCAG 2)."""
    parts = np.array(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_picture_itself_stays():
    rgb = ground()
    before = rgb.copy()
    drawn = draw(rgb, people(((50, 60, 150, 200), 0.9, 0)))
    assert (rgb == before).all()
    assert drawn.shape == rgb.shape
    assert (drawn != rgb).any()


def test_nobody_leaves_the_picture_as_it_is():
    assert (draw(ground(), Detections.none()) == ground()).all()


@pytest.mark.parametrize(("label", "colour"), [(0, VERMILION), (1, BLUE)])
def test_a_frame_has_its_edges_on_the_box(label: int, colour: tuple[int, int, int]):
    drawn = draw(ground(), people(((50, 60, 150, 200), 0.9, label)))
    for y, x in ((130, 50), (130, 149), (199, 100), (60, 149)):
        assert drawn[y, x].tolist() == list(colour)
    assert (drawn[100:190, 70:130] == 120).all()  # the inside can be seen
    assert (drawn[201:] == 120).all()
    assert (drawn[:, 151:] == 120).all()


def test_fallen_frames_are_thicker():
    counts = [
        int(
            (draw(ground(480, 640), people(((100, 100, 300, 400), 0.9, label)))[300, :300] == colour)
            .all(-1)
            .sum()
        )
        for label, colour in ((0, VERMILION), (1, BLUE))
    ]
    assert counts[0] == 2 * counts[1] > 2


def test_the_fallen_are_on_top():
    boxes = (40, 80, 200, 200)
    for order in (((boxes, 0.99, 1), (boxes, 0.4, 0)), ((boxes, 0.99, 0), (boxes, 0.4, 1))):
        assert draw(ground(), people(*order))[199, 120].tolist() == list(VERMILION)


@pytest.mark.parametrize(
    "box", [(-40, -30, 60, 90), (300, 200, 500, 400), (-9, -9, 999, 999), (400, 400, 500, 500), (9, 9, 9, 9)]
)
def test_boxes_that_leave_the_picture_are_cut(box: tuple[float, float, float, float]):
    drawn = draw(ground(), people((box, 0.5, 0)))
    assert (drawn == VERMILION).all(-1).sum() > 50


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (20, 30)])
def test_pictures_smaller_than_a_label_are_drawn_on(size: tuple[int, int]):
    drawn = draw(ground(*size), people(((0, 0, size[1], size[0]), 0.5, 0)))
    assert drawn.shape == (*size, 3)
    assert (drawn != 120).any()


def test_labels_do_not_cover_one_another():
    cv2 = pytest.importorskip("cv2")
    near = people(((100, 80, 200, 200), 0.9, 0), ((104, 82, 204, 202), 0.8, 1), ((98, 84, 198, 205), 0.7, 0))
    together = draw(ground(), near)
    for k in range(3):
        alone = draw(ground(), near.chosen(np.array([k])))
        y1 = int(near.boxes_px[k, 1])
        label = (alone[:y1] != 120).any(axis=-1)  # it lies above its box
        rows, columns = label.any(axis=1), label.any(axis=0)
        patch = alone[:y1][rows][:, columns]
        assert patch.shape[0] > 10
        assert patch.shape[1] > 40
        # Whole somewhere; sums of 2e7 are rounded to 4 on some CPUs.
        assert cv2.matchTemplate(together, patch, cv2.TM_SQDIFF).min() < 100


def test_labels_grow_with_the_picture():
    small, large = (
        (
            draw(ground(h, w), people(((w * 0.3, h * 0.4, w * 0.6, h * 0.8), 0.9, 1)))[: round(h * 0.39)]
            == BLUE
        )
        for h, w in ((240, 320), (960, 1280))
    )
    heights = [int(mask.all(-1).any(axis=1).sum()) for mask in (small, large)]
    assert heights[1] > 2.5 * heights[0]
    assert heights[0] >= 13


def test_writing_can_be_read_and_classes_be_told_apart_without_colours():
    assert contrast(VERMILION, BLACK) >= 4.5  # WCAG 2, level AA
    assert contrast(BLUE, WHITE) >= 4.5
    assert contrast(VERMILION, BLUE) >= 1.8  # in lightness alone


def test_the_two_colours_differ_for_the_colour_blind():
    # Linear RGB as dichromats see it: Vienot, Brettel and Mollon 1999, table of their section 3.
    deuteranope = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    protanope = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    one, other = ((np.array(colour) / 255) ** 2.2 for colour in (VERMILION, BLUE))
    for seen in (deuteranope, protanope):
        assert np.linalg.norm(seen @ one - seen @ other) > 0.25
