"""A person in a posture with what bears them: on their feet, on a seat, in bed, on the floor."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from falldet.synthetic import furniture
from falldet.synthetic.postures import Posture, draw_posture
from falldet.synthetic.resting import SINK_M, at_rest, on_feet
from falldet.synthetic.solids import Solid, Thing
from falldet.synthetic.wear import Wardrobe, outfit
from suite.body import BodyShape, ShapedBody

RNG = np.random.Generator


@dataclass(frozen=True, eq=False)
class Person:
    """Posed, dressed and at rest near the origin, with the piece of furniture that is theirs.

    ``support_m`` is the height of what bears them. ``cover`` is a blanket in two parts: what bulges over the
    body, which counts as seen of the person, and what lies flat.
    """

    posture: Posture
    vertices: np.ndarray
    solids: list[Solid]
    thing: Thing
    support_m: float | int
    cover: list[Solid] = field(default_factory=list)


def draw_shape(rng: RNG) -> BodyShape:
    """A grown-up, the old more often than not; now and then a child."""
    old = rng.random()
    age = (
        1.0 - 0.15 * rng.random()
        if old < 0.45
        else rng.uniform(0.6, 0.9)
        if old < 0.93
        else rng.uniform(0.35, 0.55)
    )
    gender = float(np.clip(rng.choice([0.0, 1.0]) + rng.normal(0, 0.08), 0, 1))
    return BodyShape(
        gender, float(age), float(rng.uniform(0.2, 0.7)), float(np.clip(rng.normal(0.5, 0.2), 0.05, 0.98)),
        float(np.clip(rng.normal(0.33, 0.06), 0.15, 0.5)), float(rng.uniform(0.3, 0.7)),
    )  # fmt: skip


_FLAT = ("supine", "prone", "side", "sprawled")
_LYING_DRAWS = 3
_ON_GROUND_M = 0.08


def draw_person(kind: str, body: ShapedBody, wardrobe: Wardrobe, rng: RNG) -> Person:
    """A person of this shape in a posture of this kind."""
    posture = draw_posture(kind, body, rng)
    for _ in range(_LYING_DRAWS):
        if posture.bearing not in ("floor", "bed") or not kind.endswith(_FLAT):
            break
        vertices = _lying(body, posture)
        if vertices[body.body.part("trunk", "hips"), 2].min() < _ON_GROUND_M:
            break
        posture = draw_posture(kind, body, rng)  # propped up on its limbs, as nobody lies
    wear = outfit(rng)
    match posture.bearing:
        case "feet":
            vertices, thing, support = _on_feet(body, posture), Thing(), 0.0
        case "seat":
            vertices, thing, support = _on_seat(body, posture, rng)
        case "floor":
            vertices, thing, support = _lying(body, posture), Thing(), 0.0
        case "tipping":
            vertices, thing, support = body.posed_vertices([posture.pose])[0] @ posture.root.T, Thing(), 0.0
            vertices[:, 2] -= vertices[:, 2].min()
        case "leaning":
            vertices, thing, support = _leaning(body, posture, rng)
        case "bed":
            vertices, thing, support = _in_bed(body, posture, rng)
        case "backrest":
            vertices, thing, support = _against_backrest(body, posture, rng)
    # Arms of the hull-resting body may reach a little below what bears it where flesh gives way.
    solids = wardrobe.dressed(body, vertices, wear)
    solids = (
        [_not_below(s, support) for s in solids]
        if posture.bearing not in ("bed", "backrest", "seat")
        else solids
    )
    cover = []
    if kind in ("bed_supine", "bed_side", "bed_prone", "bed_recline") and rng.random() < 0.5:
        cover = _blanket(vertices, support, rng)
    return Person(posture, vertices, solids, thing, support, cover)


def _not_below(solid: Solid, level_m: float | int) -> Solid:
    vertices = solid.vertices.copy()
    vertices[:, 2] = np.maximum(vertices[:, 2], level_m - 0.01)
    return Solid(vertices, solid.faces, solid.material, solid.places, solid.normals)


def _on_feet(body: ShapedBody, posture: Posture) -> np.ndarray:
    pose, root = on_feet(body, posture.pose, posture.root)
    vertices = body.posed_vertices([pose])[0] @ root.T
    vertices -= (*vertices[:, :2].mean(axis=0), vertices[:, 2].min())
    return vertices


def _lying(body: ShapedBody, posture: Posture) -> np.ndarray:
    """Laid down."""
    vertices = body.posed_vertices([posture.pose])[0].astype(np.float64) @ posture.root.T
    vertices = vertices @ at_rest(vertices, body.body.faces).T
    vertices -= (*vertices[:, :2].mean(axis=0), vertices[:, 2].min() + SINK_M)
    return vertices


def _on_seat(body: ShapedBody, posture: Posture, rng: RNG) -> tuple[np.ndarray, Thing, float]:
    pose, root = on_feet(body, posture.pose, posture.root, balanced=False)
    vertices = body.posed_vertices([pose])[0] @ root.T
    vertices[:, 2] -= vertices[:, 2].min()
    model = body.body
    seat_part = model.part("hips", "thigh")
    hips = vertices[model.part("hips")].mean(axis=0)
    near_hips = seat_part & (np.abs(vertices[:, 1] - hips[1]) < 0.18)
    height = float(np.clip(vertices[near_hips, 2].min() + 0.015, 0.2, 0.9))
    back = vertices[model.part("hips", "trunk") & (vertices[:, 2] < height + 0.5), 1].max()
    vertices[:, 0] -= hips[0]
    if rng.random() < 0.3:
        bed, width, length = furniture.bed(rng, height, rails=False)
        vertices[:, 1] += float(rng.uniform(0.05, 0.2)) - back
        return (
            vertices,
            bed.placed(float(rng.uniform(-0.25, 0.25)) * length, width / 2 - 0.25, np.pi / 2),
            height,
        )
    vertices[:, 1] += furniture.SEAT_DEPTH_M / 2 + 0.01 - back
    return vertices, furniture.seat(rng, height, posture.recline_deg), height


def _leaning(body: ShapedBody, posture: Posture, rng: RNG) -> tuple[np.ndarray, Thing, float]:
    vertices = body.posed_vertices([posture.pose])[0] @ posture.root.T
    vertices -= (*vertices[:, :2].mean(axis=0), vertices[:, 2].min() + SINK_M)
    choice = rng.random()
    if choice < 0.35:
        height = float(rng.uniform(0.42, 0.7))
        bed, width, length = furniture.bed(rng, height, rails=False)
        thing, front, top = bed.placed(0.0, width / 2, np.pi / 2), 0.0, height
        thing = thing.placed(float(rng.uniform(-0.3, 0.3)) * length, 0.0, 0.0)
    elif choice < 0.6:
        height = float(rng.uniform(0.36, 0.48))
        thing, front, top = (
            furniture.seat(rng, height, 5, "sofa").placed(0, furniture.SEAT_DEPTH_M / 2, 0),
            0.0,
            height,
        )
    else:
        thing, front, top = Thing(), 0.0, float(rng.uniform(0.6, 2.2))
        w = float(rng.uniform(0.8, 2.5))
        thing.box((0, 0.2, top / 2), (w, 0.4, top), furniture.surface(rng))
    touching = body.body.part("hips", "trunk", "hair", "neck", "upper_arm") & (vertices[:, 2] < top)
    vertices[:, 1] += front - vertices[touching, 1].max() + 0.01
    return vertices, thing, 0.0


def _in_bed(body: ShapedBody, posture: Posture, rng: RNG) -> tuple[np.ndarray, Thing, float]:
    vertices = _lying(body, posture)
    model = body.body
    height = float(rng.uniform(0.4, 0.8))
    bed, _, length = furniture.bed(rng, height)
    along = vertices[model.part("face")].mean(axis=0) - vertices[model.part("hips")].mean(axis=0)
    across = posture.kind in ("bed_sit", "bed_crawl")
    wish = rng.uniform(0, 2 * np.pi) if across else np.pi / 2 + rng.normal(0, 0.1)
    turn = wish - np.arctan2(along[1], along[0])
    c, s = np.cos(turn), np.sin(turn)
    vertices = vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    middle = (vertices[:, :2].min(axis=0) + vertices[:, :2].max(axis=0)) / 2
    vertices[:, :2] -= middle
    head_up = length / 2 - 0.12 - vertices[:, 1].max()
    vertices[:, 1] += rng.uniform(-0.3, 0.3) if across else head_up - rng.uniform(0, 0.1)
    vertices[:, 0] += rng.normal(0, 0.04)
    vertices[:, 2] += height - 0.015  # mattresses give way
    return vertices, bed, height


def _against_backrest(body: ShapedBody, posture: Posture, rng: RNG) -> tuple[np.ndarray, Thing, float]:
    vertices = body.posed_vertices([posture.pose])[0] @ posture.root.T
    height, slope = float(rng.uniform(0.45, 0.8)), 90 - posture.recline_deg
    bed, _, _ = furniture.bed(rng, height, backrest_deg=slope)
    vertices -= (vertices[body.body.part("hips"), 0].mean(), 0, vertices[:, 2].min() - height + 0.015)
    a = np.deg2rad(slope)
    back = vertices[body.body.part("hips", "trunk", "hair", "face", "neck", "upper_arm")]
    clear = -(back[:, 1] - 0.1) * np.sin(a) + (back[:, 2] - height) * np.cos(a)
    vertices[:, 1] += (clear.min() + 0.015) / np.sin(a)
    return vertices, bed, height


def _blanket(vertices: np.ndarray, level_m: float | int, rng: RNG) -> list[Solid]:
    """A blanket over the lower body: a surface just above the highest of what lies below each place."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    low, high = vertices[:, :2].min(axis=0) - 0.12, vertices[:, :2].max(axis=0) + 0.12
    low[0], high[0] = min(low[0], -0.4), max(high[0], 0.4)
    span = vertices[:, 1].max() - vertices[:, 1].min()
    end = vertices[:, 1].min() + span * float(rng.uniform(0.35, 0.8))
    x, y = np.arange(low[0], high[0], 0.04), np.arange(low[1], end, 0.04)
    if len(y) < 4 or len(x) < 4:
        return []
    top = np.full((len(x), len(y)), level_m)
    i = np.clip(((vertices[:, 0] - low[0]) / 0.04).astype(int), 0, len(x) - 1)
    j = ((vertices[:, 1] - low[1]) / 0.04).astype(int)
    inside = j < len(y)
    np.maximum.at(top, (i[inside], j[inside]), vertices[inside, 2])
    top = gaussian_filter(maximum_filter(top, 5), 1.0) + 0.02
    wave = np.sin(x[:, None] * rng.uniform(8, 20) + y[None] * rng.uniform(-9, 9) + rng.uniform(0, 6))
    top = top + 0.012 * (1 + wave)
    grid = np.stack([*np.meshgrid(x, y, indexing="ij"), top], axis=2)
    edge = rng.uniform(0.05, 0.3)
    sides = []
    for row, out in ((grid[:1], -0.02), (grid[-1:], 0.02)):
        hang = row.copy()
        hang[..., 0] += out
        hang[..., 2] = level_m - edge
        sides.append(hang)
    grid = np.concatenate([sides[0], grid, sides[1]])
    thing = Thing()
    thing.sheet(grid, furniture.linen(rng))
    solid = thing.solids[0]
    # Where the blanket bulges, there is somebody below it; the rest of it is bedding.
    over = (solid.vertices[solid.faces][:, :, 2] > level_m + 0.06).all(axis=1)
    return [
        Solid(solid.vertices, solid.faces[pick], solid.material, solid.places, solid.normals)
        for pick in (over, ~over)
    ]
