"""Synthetic people rest on what bears them, are labelled by what they do, and are a function of the seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
pytest.importorskip("open3d")

from falldet.detections import FALLEN
from falldet.synthetic.camera import View, draw_view
from falldet.synthetic.casting import Caster
from falldet.synthetic.generate import Studio, synthesize, visible_share
from falldet.synthetic.options import SyntheticOptions
from falldet.synthetic.people import draw_person, draw_shape
from falldet.synthetic.postures import KINDS, draw_kind
from falldet.synthetic.render import render
from falldet.synthetic.resting import at_rest, centre_of_mass
from falldet.synthetic.scene import Scene, draw_scene
from falldet.synthetic.solids import Block, Thing
from falldet.synthetic.stills import Stills
from falldet.synthetic.textures import PATTERNS, Material, albedo
from falldet.synthetic.wear import Wardrobe
from suite.body import Body, ShapedBody, load_body
from suite.errors import BadInput
from suite.geometry.mesh import Mesh

SMALL = SyntheticOptions(count=4, seed=5, image_px=96, people=3, min_side_px=6)
GREY = Material((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), noise=0.0, grain=0.0)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def wardrobe(body: Body) -> Wardrobe:
    return Wardrobe(body)


@pytest.fixture(scope="module")
def bodies(body: Body) -> list[ShapedBody]:
    rng = np.random.default_rng(0)
    return [body.shaped(draw_shape(rng)) for _ in range(3)]


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_people_rest_on_what_bears_them(kind: str, body: Body, bodies: list[ShapedBody], wardrobe: Wardrobe):
    for seed in range(2):
        person = draw_person(kind, bodies[seed], wardrobe, np.random.default_rng(seed))
        lowest = person.vertices[:, 2].min()
        if kind == "sit":  # feet on the floor, seat under the seat
            assert abs(lowest) < 0.03
            low = person.vertices[body.part("hips", "thigh"), 2].min()
            assert abs(low - person.support_m) < 0.06
        else:
            assert abs(lowest - person.support_m) < 0.03
        for solid in person.solids:  # clothes and hair stay above it, too
            assert solid.vertices[:, 2].min() > min(person.support_m, 0.0) - 0.05
        if not kind.startswith(("bed", "sit")) and person.posture.bearing != "leaning":
            assert not person.thing.solids  # nothing else is needed


@pytest.mark.parametrize("kind", ["supine", "prone", "side"])
def test_lying_people_are_low_and_long(kind: str, body: Body, bodies: list[ShapedBody], wardrobe: Wardrobe):
    arms = body.part("upper_arm", "forearm", "hand")
    for seed in range(4):
        vertices = draw_person(kind, bodies[seed % 3], wardrobe, np.random.default_rng(seed)).vertices
        assert np.ptp(vertices[~arms, 2]) < (0.72 if kind == "side" else 0.6)
        assert np.quantile(vertices[:, 2], 0.75) < 0.5
        assert np.hypot(*np.ptp(vertices[:, :2], axis=0)) > 0.9


def test_standing_people_are_upright_and_balanced(body: Body, bodies: list[ShapedBody], wardrobe: Wardrobe):
    for seed in range(4):
        vertices = draw_person("stand", bodies[seed % 3], wardrobe, np.random.default_rng(seed)).vertices
        height = np.ptp(bodies[seed % 3].vertices[:, 2])
        assert 0.85 * height < vertices[body.part("hair"), 2].max() < 1.1 * height
        feet = vertices[body.part("foot"), :2]
        centre = centre_of_mass(vertices, body.faces)[:2]
        assert (feet.min(axis=0) - 0.05 < centre).all()
        assert (centre < feet.max(axis=0) + 0.05).all()


def test_a_block_comes_to_rest_on_its_broad_side():
    thing = Thing()
    thing.box((0, 0, 0), (0.6, 1.0, 0.2), GREY)
    cube = np.unique(thing.solids[0].vertices, axis=0)
    cube = np.concatenate([cube, cube, cube])  # every third vertex makes the hull
    faces = _hull_faces(cube)
    angle = np.deg2rad(30)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    tilted = cube @ tilt.T
    rested = tilted @ at_rest(tilted, faces).T
    assert np.ptp(rested[:, 2]) == pytest.approx(0.2, abs=1e-6)


def test_a_rod_on_its_end_falls_over_only_when_it_may():
    thing = Thing()
    thing.box((0, 0, 0), (0.1, 0.1, 1.0), GREY)
    rod = np.concatenate([np.unique(thing.solids[0].vertices, axis=0)] * 3)
    faces = _hull_faces(rod)
    np.testing.assert_allclose(at_rest(rod, faces), np.eye(3), atol=1e-9)  # upright it stays
    angle = np.deg2rad(70)
    lean = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    leaning = rod @ lean.T
    assert np.ptp((leaning @ at_rest(leaning, faces).T)[:, 2]) == pytest.approx(0.1, abs=1e-6)


def _hull_faces(points: np.ndarray) -> np.ndarray:
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    faces = hull.simplices.astype(np.int64)
    normals = Mesh(points, faces).face_normals()
    inward = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces


def test_labels_follow_kinds(bodies: list[ShapedBody], wardrobe: Wardrobe):
    fallen = {name for name, (down, _, _) in KINDS.items() if down}
    assert {"supine", "prone", "side", "propped", "slumped", "tipping", "floor_sit"} <= fallen
    assert not fallen & {"stand", "walk", "bend", "crouch", "sit", "bed_supine", "bed_side", "bed_sit"}
    rng = np.random.default_rng(1)
    assert {draw_kind(True, rng) for _ in range(400)} == fallen
    assert {draw_kind(False, rng) for _ in range(400)} == set(KINDS) - fallen
    for kind in ("side", "bed_side"):
        person = draw_person(kind, bodies[0], wardrobe, np.random.default_rng(2))
        assert person.posture.fallen == (kind in fallen)


def test_nobody_is_in_anything_or_anybody(bodies: list[ShapedBody], wardrobe: Wardrobe):
    met = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene = draw_scene(SMALL.model_copy(update={"empty": 0.0}), bodies, wardrobe, False, rng)
        half = np.asarray(scene.size_m) / 2
        for k, person in enumerate(scene.people):
            assert (np.abs(person.vertices[:, :2]) <= half[:2]).all()
            own = person.support_m > 0 or person.kind == "slumped"
            for block in scene.blocks:
                share = block.inside(person.vertices, 0.03).mean()
                assert share < (0.25 if own else 0.01), (seed, person.kind)
            for other in scene.people[:k]:
                apart = np.linalg.norm(person.vertices[::40, None] - other.vertices[None, ::40], axis=2)
                assert apart.min() > 0.01
                met += 1
    assert met >= 3


@pytest.mark.parametrize("bend", [0.0, 0.3])
def test_projection_is_the_inverse_of_rays(bend: float):
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    view = View(np.array([1.0, 2.0, 3.0]), R, 1.3, bend, 60, 40)
    rays = view.rays()
    pixels, front = view.project((view.eye_m + 2.5 * rays).reshape(-1, 3))
    x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    assert front.all()
    np.testing.assert_allclose(pixels, np.stack([x.ravel(), y.ravel()], axis=1), atol=0.02)


def test_up_is_up_in_the_picture(bodies: list[ShapedBody], wardrobe: Wardrobe):
    options = SMALL.model_copy(update={"empty": 0.0, "outdoors": 0.0})
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = draw_scene(options, bodies, wardrobe, False, rng)
        view = draw_view(scene, 64, 48, rng)
        low = np.array([[*(view.eye_m + view.R_world_camera[:, 2] * 2)[:2], 0.5]])
        (bottom,), _ = view.project(low)
        (top,), _ = view.project(low + np.array([0, 0, 0.4]))
        assert top[1] < bottom[1]


def test_what_stands_in_front_hides_and_is_not_seen_through():
    thing = Thing()
    thing.box((0, 2, 0), (1, 0.1, 1), GREY)
    scene = Scene(thing.solids, [], [], (6.0, 6.0, 3.0), False, False)
    view = View(np.zeros(3), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T, 1.0, 0.0, 40, 40)
    hits = Caster(scene).look(view)
    seen = hits.hit.reshape(40, 40)
    assert seen[20, 20]
    assert not seen[2, 2]
    np.testing.assert_allclose(hits.places_m.reshape(40, 40, 3)[20, 20, 1], 1.95, atol=1e-5)
    np.testing.assert_allclose(hits.normals.reshape(40, 40, 3)[20, 20], [0, -1, 0], atol=1e-6)


def test_visible_share_counts_what_is_hidden_and_what_is_outside():
    view = View(np.zeros(3), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T, 1.0, 0.0, 100, 100)
    x, z = np.meshgrid(np.linspace(-0.5, 0.5, 200), np.linspace(-0.5, 0.5, 200))
    plate = np.stack([x.ravel(), np.full(x.size, 1.0), z.ravel()], axis=1)
    whole = np.zeros((100, 100), bool)
    whole[25:75, 25:75] = True
    assert visible_share(plate, view, whole) > 0.95
    half = whole.copy()
    half[:, 50:] = False
    assert visible_share(plate, view, half) == pytest.approx(0.5, abs=0.08)
    aside = plate + np.array([1.0, 0, 0])  # half of it beyond the right edge
    mask = np.zeros((100, 100), bool)
    mask[25:75, 75:] = True
    assert visible_share(aside, view, mask) == pytest.approx(0.5, abs=0.08)


def test_a_picture_is_a_function_of_the_seed_and_its_number(studio: Studio):
    first = studio.picture(2)
    studio.picture(0)
    again, elsewhere = studio.picture(2), Studio(SMALL).picture(2)
    for other in (again, elsewhere):
        np.testing.assert_array_equal(first.rgb, other.rgb)
        np.testing.assert_array_equal(first.boxes_px, other.boxes_px)
        assert (first.kinds, first.labels) == (other.kinds, other.labels)
    assert not np.array_equal(first.rgb[:40, :40], studio.picture(3).rgb[:40, :40])


def test_boxes_are_in_the_picture_and_labels_are_those_of_the_kinds(studio: Studio):
    people = 0
    for index in range(10):
        picture = studio.picture(index)
        h, w = picture.rgb.shape[:2]
        assert max(h, w) == SMALL.image_px
        low, high = picture.boxes_px[:, :2], picture.boxes_px[:, 2:]
        assert (low >= 0).all()
        assert (high <= (w, h)).all()
        assert (high - low >= SMALL.min_side_px).all()
        assert len(picture.boxes_px) == len(picture.labels) == len(picture.kinds)
        for kind, label in zip(picture.kinds, picture.labels, strict=True):
            assert (label == FALLEN) == KINDS[kind][0]
        people += len(picture.labels)
    assert people >= 8


def test_stills_of_films_are_functions_of_their_number_and_share_their_room():
    options = SMALL.model_copy(update={"films": 1.0, "stills": 2})
    drawn = [Studio(options).picture(2), *(one.picture(k) for one in [Studio(options)] for k in (2, 3))]
    assert np.array_equal(drawn[0].rgb, drawn[1].rgb) and drawn[0].kinds == drawn[1].kinds
    assert not np.array_equal(drawn[1].rgb, drawn[2].rgb)
    for picture in drawn[1:]:
        h, w = picture.rgb.shape[:2]
        assert max(h, w) == 96 and len(picture.kinds) >= 1
        assert (picture.boxes_px >= 0).all() and (picture.boxes_px <= (w, h, w, h)).all()
        assert picture.labels == tuple(0 if KINDS[kind][0] else 1 for kind in picture.kinds)
    assert not any(Stills(options.model_copy(update={"films": 0.0})).has(k) for k in range(20))
    shares = [Stills(options.model_copy(update={"films": 0.5})).has(k) for k in range(200)]
    assert 0.3 < np.mean(shares) < 0.7 and shares[::2] == shares[1::2]


def test_empty_rooms_have_nobody():
    studio = Studio(SMALL.model_copy(update={"empty": 1.0}))
    assert not len(studio.picture(0).boxes_px)


def test_a_backdrop_is_seen_where_nothing_stands(bodies: list[ShapedBody], wardrobe: Wardrobe):
    rng = np.random.default_rng(3)
    scene = draw_scene(SMALL.model_copy(update={"empty": 0.0, "fallen": 0.0}), bodies, wardrobe, True, rng)
    view = draw_view(scene, 64, 48, rng)
    backdrop = rng.uniform(0.2, 0.8, (48, 64, 3)).astype(np.float32)
    rendered = render(scene, view, backdrop, rng)
    nothing = ~Caster(scene).look(view).hit.reshape(48, 64)
    sky = nothing & (view.rays()[..., 2] > 0)
    floor = nothing & (view.rays()[..., 2] < -0.05)
    assert (rendered.person >= 0).any()
    np.testing.assert_allclose(rendered.rgb[sky], backdrop[sky], atol=1e-6)
    assert (rendered.rgb[floor] <= backdrop[floor] + 1e-5).all()  # shadows only darken


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_between_their_colours_and_return(pattern: str):
    material = Material((0.2, 0.5, 0.8), (0.6, 0.1, 0.4), pattern, 0.25, noise=0.0, grain=0.0)  # pyright: ignore[reportArgumentType]
    rng = np.random.default_rng(0)
    p, q = rng.uniform(0, 2, (2, 500)).astype(np.float32)
    colours = albedo(material, p, q)
    assert (colours >= np.minimum(material.colour, material.second) - 1e-6).all()
    if pattern in ("tiles", "stripes", "checks"):
        same = np.isclose(albedo(material, p + np.float32(0.5), q), colours, atol=1e-5).all(axis=1)
        assert same.mean() > 0.99  # but for rounding at an edge


def test_a_block_knows_its_inside():
    block = Block((1.0, 0.0, 0.5), (0.5, 0.1, 0.5), np.pi / 2)
    points = np.array([[1.0, 0.4, 0.5], [1.4, 0.0, 0.5], [1.0, 0.0, 1.1]])
    assert block.inside(points).tolist() == [True, False, False]
    assert not block.inside(points, 0.15).any()


def test_a_set_is_written_resumed_and_split(tmp_path: Path):
    whole = synthesize(SMALL, tmp_path / "whole")
    coco = json.loads(whole.read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"images/{k:06d}.jpg" for k in range(4)]
    assert [c["name"] for c in coco["categories"]] == ["fallen", "not_fallen"]
    for person in coco["annotations"]:
        assert (person["category_id"] == 1) == KINDS[person["tags"][0]][0]
        image = coco["images"][person["image_id"] - 1]
        x, y, w, h = person["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + w <= image["width"]
        assert y + h <= image["height"]
    assert len({image["group"] for image in coco["images"]}) == 4

    part = tmp_path / "part"
    synthesize(SMALL.model_copy(update={"first": 2, "count": 2}), part)
    kept = (part / "images" / "000002.jpg").stat().st_mtime_ns
    assert json.loads(synthesize(SMALL, part).read_text()) == coco
    assert (part / "images" / "000002.jpg").stat().st_mtime_ns == kept  # not drawn again
    for k in range(4):
        name = f"images/{k:06d}.jpg"
        assert (part / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    with pytest.raises(BadInput, match="other settings"):
        synthesize(SMALL.model_copy(update={"seed": 6}), part)


def test_a_missing_folder_of_backgrounds_is_said(tmp_path: Path):
    with pytest.raises(BadInput, match="no such folder"):
        Studio(SMALL.model_copy(update={"backgrounds": tmp_path / "none"}))
