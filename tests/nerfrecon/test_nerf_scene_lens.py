"""The lens against OpenCV's, pictures by area, the split, and two public captures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scene_folders import HEIGHT, WIDTH, KnownScene, known_scene, write_colmap, write_idr, write_transforms

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.box import meeting_point, seen_sphere
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import shrunk
from nerfrecon.scenes.read import read_scene
from suite.data.images import write_depth_png
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

PINHOLE = PinholeCamera(320, 240, 300.0, 305.0, 161.0, 118.0)
FOX = (0.0578421, -0.0805099, -0.000980296, 0.00015575, 0.0)


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene(6)


@given(
    st.tuples(
        st.floats(-0.15, 0.25),
        st.floats(-0.03, 0.03),
        st.floats(-0.01, 0.01),
        st.floats(-0.01, 0.01),
        st.floats(-0.005, 0.005),
    )
)
def test_the_lens_is_opencvs_and_is_undone(distortion: tuple[float, float, float, float, float]):
    camera = LensCamera(PINHOLE, distortion)
    u, v = np.meshgrid(np.linspace(-0.5, 319.5, 9), np.linspace(-0.5, 239.5, 7))
    pixels = np.stack([u, v], -1)
    directions = camera.directions(pixels)
    assert np.abs(camera.project(3.0 * directions) - pixels).max() < 1e-6
    theirs, _ = cv2.projectPoints(
        directions.reshape(-1, 3), np.zeros(3), np.zeros(3), PINHOLE.matrix, np.array(distortion)
    )
    assert np.abs(theirs.reshape(pixels.shape) - pixels).max() < 1e-6


def test_what_a_lens_does_not_see_is_nan():
    camera = LensCamera(PINHOLE, (-0.3, 0.0, 0.0, 0.0, 0.0))
    # r (1 - 0.3 r^2) turns back at r = 1 / sqrt(0.9): beyond it a point would land inside the picture again.
    seen = camera.project(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 1.0], [1.1, 0.0, 1.0]]))
    assert np.isfinite(seen[[0, 2]]).all() and np.isnan(seen[[1, 3]]).all()
    assert np.isnan(camera.directions(np.array([900.0, 118.0]))[0])
    with pytest.raises(BadInput, match="folds the picture"):
        LensCamera(PINHOLE, (-2.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(BadInput, match="five finite numbers"):
        LensCamera(PINHOLE, (math.nan, 0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.3])
def test_scaling_keeps_the_rays_of_the_same_place(factor: float):
    camera = LensCamera(PINHOLE, FOX)
    small = camera.scaled(factor)
    edges = np.array([[-0.5, -0.5], [319.5, 239.5], [159.5, 119.5]])
    shares = (edges + 0.5) / [320, 240]
    again = shares * [small.width, small.height] - 0.5
    assert np.allclose(camera.directions(edges), small.directions(again), atol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_area_averages_cover_what_each_pixel_covers(width: int, height: int, seed: int):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (40, 40, 4)).astype(np.uint8)

    def cover(size: int) -> np.ndarray:
        """(size, 40): share of each old pixel in each new one."""
        edges = np.arange(size + 1) * 40 / size
        overlap = np.minimum(edges[1:, None], np.arange(1, 41)) - np.maximum(edges[:-1, None], np.arange(40))
        return np.maximum(overlap, 0) * size / 40

    alpha = pixels[..., 3] / 255.0
    mean_alpha = cover(height) @ alpha @ cover(width).T
    weighed = np.einsum("ab,bcd,ec->aed", cover(height), pixels[..., :3] * alpha[..., None], cover(width))
    ours = shrunk(pixels, width, height).astype(np.float64)
    assert np.abs(ours[..., 3] - 255 * mean_alpha).max() < 0.75
    # Over any background the small picture is the mean of the large one.
    assert np.abs(ours[..., :3] * ours[..., 3:] / 255 - weighed).max() < 1.6


def test_colour_behind_transparency_does_not_bleed():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = [200, 100, 50, 255]
    pixels[1, 1] = [0, 255, 0, 0]
    assert shrunk(pixels, 1, 1)[0, 0].tolist() == [200, 100, 50, 64]


def test_usable_pixels_are_those_that_blend_no_others(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, 41:] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    text = path.read_text().replace(
        '"file_path": "images/0002.png"', '"mask_path": "mask.png", "file_path": "images/0002.png"'
    )
    path.write_text(text)
    scene = read_scene(path)
    usable = scene.views[2].load(0.5).usable
    assert usable is not None and usable[:, :20].all() and not usable[:, 20:].any()
    assert scene.views[1].load().usable is None


def test_masks_of_objects_become_alpha(known: KnownScene, tmp_path: Path):
    write_colmap(tmp_path, known, alpha=False)
    write_idr(tmp_path / "idr", known)
    (tmp_path / "masks").mkdir()
    for k in range(6):  # zeros and ones, as labelling tools write them
        mask = np.array(Image.open(tmp_path / "idr" / "mask" / f"{k:03d}.png")) // 128
        Image.fromarray(mask).save(tmp_path / "masks" / f"a{k}.png.png")
    picture = read_scene(tmp_path).views[2].load()
    assert np.array_equal(picture.pixels[..., 3], np.where(known.pictures[2][..., 3] >= 128, 255, 0))
    for k in range(6):
        (tmp_path / "masks" / f"a{k}.png.png").rename(tmp_path / "masks" / f"a{k}.png")
    assert read_scene(tmp_path).views[2].mask_path == tmp_path / "masks" / "a2.png"


def test_depth_is_read_in_world_units(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known, integer_depth_scale=0.002)
    depth = np.linspace(1, 2, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    depth[:, 3] = np.nan
    write_depth_png(tmp_path / "d.png", depth, 0.002)
    path.write_text(
        path.read_text().replace(
            '"file_path": "images/0002.png"', '"depth_path": "d.png", "file_path": "images/0002.png"'
        )
    )
    view = read_scene(path).views[2]
    read, half = view.load_depth(), view.load_depth(0.5)
    assert read is not None and half is not None and view.camera.scaled(0.5).height == half.shape[0]
    assert np.nanmax(np.abs(read - depth)) <= 0.001 + 1e-6 and np.isnan(read[:, 3]).all()
    assert np.array_equal(half, read[1::2, 1::2], equal_nan=True)
    assert read_scene(path).views[0].load_depth() is None
    write_depth_png(tmp_path / "d.png", depth[:20], 0.002)
    with pytest.raises(BadInput, match="depth is 64 x 20 px but the picture is 64 x 48 px"):
        view.load_depth()


def test_the_split_is_every_eighth_from_the_first(known: KnownScene, tmp_path: Path):
    scene = read_scene(write_transforms(tmp_path, known))
    assert scene.split() == ((1, 2, 3, 4, 5), (0,))
    assert scene.split(3) == ((1, 2, 4, 5), (0, 3))
    assert scene.split(0) == ((0, 1, 2, 3, 4, 5), ())
    for every in (1, -2):
        with pytest.raises(BadInput, match="held out"):
            scene.split(every)
    with pytest.raises(BadInput, match=r"scale in \(0, 1\]"):
        scene.views[0].load(2)


def test_sizes_may_differ_from_view_to_view(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known, per_frame=True)
    small = np.array(Image.open(tmp_path / "images" / "0003.png"))[:24]
    Image.fromarray(small).save(tmp_path / "images" / "0003.png")
    text = path.read_text()
    at = text.index('"images/0003.png"')
    path.write_text(text[:at] + text[at:].replace(f'"h": {HEIGHT}', '"h": 24', 1))
    cameras = [view.camera for view in read_scene(path).views]
    assert (cameras[3].height, cameras[2].height) == (24, HEIGHT)
    assert cameras[3].pinhole.cy == cameras[2].pinhole.cy == HEIGHT / 2 - 0.5


def ring(radius: float, tilt: float) -> tuple[View, ...]:
    """Eight cameras around (1, 2, 3) that look at it, square pictures with a half angle of view of 30
    degrees."""
    views, centre = [], np.array([1.0, 2.0, 3.0])
    camera = LensCamera(PinholeCamera(100, 100, 50 * 3**0.5, 50 * 3**0.5, 49.5, 49.5))
    for k in range(8):
        turn = k * math.pi / 4
        forward = -np.array(
            [math.cos(turn) * math.cos(tilt), math.sin(turn) * math.cos(tilt), math.sin(tilt)]
        )
        right = np.cross(forward, [0.0, 0, 1]) / math.cos(tilt)
        T = np.eye(4)
        T[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
        T[:3, 3] = centre - radius * forward
        views.append(View(str(k), Path(f"{k}.png"), camera, T))
    return tuple(views)


def test_the_ball_that_all_cameras_see():
    views = (*ring(4.0, 0.3), *ring(5.0, -0.2))
    meeting = meeting_point(views)
    assert meeting is not None and np.allclose(meeting, [1, 2, 3])
    centre, radius = seen_sphere(views, "here")
    assert np.allclose(centre, [1, 2, 3]) and math.isclose(radius, 4 * math.sin(math.pi / 6))


def test_a_scene_built_by_hand_checks_itself():
    views = ring(4.0, 0.3)
    box = np.array([[0.0, 1, 2], [2, 3, 4]])
    scene = Scene(Path("here"), views, box)
    assert np.allclose(scene.to_unit(np.array([1.0, 2, 3])), 0.5) and scene.side == 2
    with pytest.raises(BadInput, match="at least two"):
        Scene(Path("here"), views[:1], box)
    with pytest.raises(BadInput, match="no camera sees"):
        Scene(Path("here"), views, box + 100)
    with pytest.raises(BadInput, match="aabb_scale is 0"):
        Scene(Path("here"), views, box, aabb_scale=0)


def test_fox(data: Callable[[str], Path]):
    scene = read_scene(data("nerfrecon/fox"))
    assert len(scene.views) == 50 and [len(part) for part in scene.split()] == [43, 7]
    assert len(scene.notes) == 1 and "17 of 67 pictures" in scene.notes[0]
    assert (scene.box_from, scene.aabb_scale) == ("file", 4) and np.allclose(scene.side, 4 / 0.33)
    pinhole = scene.views[0].camera.pinhole
    assert all(view.camera == scene.views[0].camera for view in scene.views)
    assert (pinhole.width, pinhole.height, pinhole.fx, pinhole.fy) == (1080, 1920, 1375.52, 1374.49)
    assert (
        np.allclose([pinhole.cx, pinhole.cy], [554.058, 964.768]) and scene.views[0].camera.distortion == FOX
    )
    meeting = meeting_point(scene.views)
    assert meeting is not None and np.abs(scene.to_unit(meeting) - 0.5).max() < 0.02
    passing = [np.linalg.norm(np.cross(view.forward, meeting - view.position)) for view in scene.views]
    assert max(passing) / scene.side < 0.11  # a phone is not held as exactly as a simulated camera
    positions = np.array([scene.T_unit_camera(k)[:3, 3] for k in range(50)])
    assert positions.min() > 0 and positions.max() < 1
    picture = scene.views[0].load(0.25)
    assert picture.pixels.shape == (480, 270, 3) and picture.camera.width == 270


def test_lego(data: Callable[[str], Path]):
    scene = read_scene(data("nerfrecon/lego"))
    assert len(scene.views) == 100 and not scene.notes and [len(part) for part in scene.split()] == [87, 13]
    assert np.array_equal(scene.box, [[-1.5] * 3, [1.5] * 3]) and scene.aabb_scale == 1
    pinhole = scene.views[0].camera.pinhole
    assert np.allclose([pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy], [555.5555, 555.5555, 199.5, 199.5])
    meeting = meeting_point(scene.views)
    assert meeting is not None and np.abs(meeting).max() < 1e-6
    passing = [np.linalg.norm(np.cross(view.forward, meeting - view.position)) for view in scene.views]
    assert max(passing) < 1e-5  # the poses are exact
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T * 3.0 - 1.5
    for view in scene.views[::20]:
        alpha = view.load().pixels[..., 3]
        rows, columns = np.nonzero(alpha)
        at = view.project(corners)
        assert columns.min() > at[:, 0].min() and columns.max() < at[:, 0].max()
        assert rows.min() > at[:, 1].min() and rows.max() < at[:, 1].max()
