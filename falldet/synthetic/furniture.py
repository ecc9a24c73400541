"""Beds, seats and what else stands in rooms; each at the origin on the floor, its front towards -y."""

from __future__ import annotations

import numpy as np

from falldet.synthetic.solids import Block, Thing
from falldet.synthetic.textures import PATTERNS, Material, any_colour, near

RNG = np.random.Generator


def surface(rng: RNG, low: float | int = 0.1, high: float | int = 0.95, plain: float | int = 0.6) -> Material:
    """Any material of furniture."""
    colour = any_colour(rng, low, high)
    pattern = "plain" if rng.random() < plain else PATTERNS[rng.integers(len(PATTERNS))]
    return Material(
        colour, near(colour, rng, 0.5), pattern, float(rng.uniform(0.03, 0.3)), float(rng.uniform(0, 0.07)),
        float(rng.uniform(0, 0.05)), float(rng.random() < 0.2) * float(rng.uniform(0.1, 0.4)),
        (float(rng.uniform(0, 4)), float(rng.uniform(0, 4))),
    )  # fmt: skip


def linen(rng: RNG) -> Material:
    """Sheets, pillows and blankets: mostly light."""
    if rng.random() < 0.6:
        colour = near((0.9, 0.9, 0.88), rng, 0.12)
    else:
        colour = any_colour(rng, 0.3, 0.95)
    pattern = rng.choice(["plain", "plain", "plain", "stripes", "checks", "dots"])
    return Material(colour, near(colour, rng, 0.4), pattern, float(rng.uniform(0.04, 0.25)), 0.1, 0.05)


def wood(rng: RNG) -> Material:
    """Wood, light to dark, or painted."""
    if rng.random() < 0.3:
        return surface(rng)
    light = rng.uniform(0.25, 1.0)
    colour = (float(0.72 * light), float(0.52 * light), float(0.34 * light))
    return Material(colour, near(colour, rng, 0.3), "planks", float(rng.uniform(0.03, 0.15)), 0.2, 0.1, 0.1)


def metal(rng: RNG) -> Material:
    """Tubes and frames: steel, white or black."""
    grey = float(rng.choice([0.15, 0.6, 0.75, 0.9]))
    return Material((grey, grey, grey), (grey, grey, grey), noise=0.05, grain=0.02, gloss=0.4)


def bed(
    rng: RNG, height_m: float | int, backrest_deg: float | int = 0.0, rails: bool = True
) -> tuple[Thing, float, float]:
    """A bed whose mattress is at ``height_m``, its head towards +y; also its width and length (m).

    The backrest, where it is raised, turns about a line 0.1 m towards the head from the middle.
    """
    thing = Thing()
    hospital = bool(rng.random() < 0.6)
    width = float(rng.uniform(0.85, 1.0) if hospital else rng.uniform(0.9, 1.8))
    length = float(rng.uniform(1.95, 2.15))
    sheet, frame = (
        (linen(rng) if rng.random() < 0.7 else surface(rng)),
        (metal(rng) if hospital else wood(rng)),
    )
    thick = float(rng.uniform(0.1, 0.22))
    under = height_m - thick
    if backrest_deg > 3:
        a = np.deg2rad(backrest_deg)
        head = length / 2 - 0.1
        thing.box(
            (0, -length / 2 + (length - head) / 2, height_m - thick / 2), (width, length - head, thick), sheet
        )
        middle = np.array([0, 0.1 + head / 2 * np.cos(a), height_m + head / 2 * np.sin(a)])
        middle -= thick / 2 * np.array([0, -np.sin(a), np.cos(a)])
        thing.box(tuple(middle), (width, head, thick), sheet, tilt_rad=float(a))
    else:
        thing.box((0, 0, height_m - thick / 2), (width, length, thick), sheet)
    board = surface(rng, 0.3) if hospital else wood(rng)
    if hospital:
        thing.box((0, 0, under - 0.05), (width * 0.98, length, 0.08), frame)
        for x in (-1, 1):
            for y in (-1, 1):
                at = (x * width * 0.44, y * length * 0.42)
                thing.tube((*at, 0), (*at, under), 0.025, frame)
        for y, high in ((-1, rng.uniform(0.15, 0.4)), (1, rng.uniform(0.25, 0.5))):
            thing.box((0, y * (length / 2 + 0.03), under + high / 2), (width, 0.04, high + 0.2), board)
        for x in (-1, 1):
            if rails and rng.random() < 0.6:
                _rail(thing, rng, x * (width / 2 + 0.03), length, height_m, frame, board)
    else:
        thing.box((0, 0, under / 2), (width * 1.02, length, max(under, 0.05)), frame)
        high = float(rng.uniform(0.2, 0.6))
        thing.box((0, length / 2 + 0.04, (height_m + high) / 2), (width * 1.05, 0.06, height_m + high), board)
    if rng.random() < 0.85 and backrest_deg <= 3:
        thing.ball((0, length / 2 - 0.24, height_m + 0.04), (min(width * 0.4, 0.38), 0.2, 0.07), linen(rng))
    return thing, width, length


def _rail(
    thing: Thing,
    rng: RNG,
    x: float | int,
    length: float | int,
    height: float | int,
    frame: Material,
    board: Material,
) -> None:
    start = float(rng.uniform(-0.3, 0.1)) * length
    end = length * float(rng.uniform(0.3, 0.45)) if start > -0.2 * length else start + 0.5 * length
    top = height + float(rng.uniform(0.12, 0.35))
    if rng.random() < 0.3:
        thing.box(
            (x, (start + end) / 2, (height + top) / 2 - 0.03), (0.03, end - start, top - height + 0.06), board
        )
        return
    for z in np.linspace(height, top, rng.integers(2, 4)):
        thing.tube((x, start, z), (x, end, z), 0.014, frame, sides=6)
    for y in np.linspace(start, end, rng.integers(3, 7)):
        thing.tube((x, y, height - 0.15), (x, y, top), 0.012, frame, sides=6)


SEAT_DEPTH_M = 0.48
_RUBBER = Material((0.08, 0.08, 0.08), (0.1, 0.1, 0.1))


def seat(rng: RNG, height_m: float | int, recline_deg: float | int, kind: str | None = None) -> Thing:
    """Something to sit on at ``height_m``, from a stool to a wheelchair; the seat's middle at the origin."""
    thing = Thing()
    kind = kind or str(rng.choice(["stool", "chair", "chair", "armchair", "sofa", "wheelchair", "bench"]))
    depth, lean = SEAT_DEPTH_M, float(np.deg2rad(max(recline_deg, 0) + rng.uniform(2, 10)))
    wide = {
        "sofa": rng.uniform(1.3, 2.1),
        "bench": rng.uniform(1.0, 1.8),
        "armchair": rng.uniform(0.62, 0.75),
    }
    width = float(wide.get(kind, rng.uniform(0.42, 0.52)))
    cover, frame = surface(rng), (metal(rng) if kind == "wheelchair" or rng.random() < 0.4 else wood(rng))
    soft = kind in ("sofa", "armchair")
    thick = height_m - 0.06 if soft else 0.05
    aside = float(rng.uniform(-0.3, 0.3)) * (width - 0.5) if kind in ("sofa", "bench") else 0.0
    thing.box((aside, 0, height_m - thick / 2), (width, depth, thick), cover)
    if not soft:
        for x in (-1, 1):
            for y in (-1, 1):
                at = (aside + x * (width / 2 - 0.03), y * (depth / 2 - 0.03))
                thing.tube((*at, 0), (*at, height_m - 0.02), 0.02, frame, sides=6)
    if kind not in ("stool", "bench"):
        high, deep = float(rng.uniform(0.35, 0.6)), 0.14 if soft else 0.04
        behind = depth / 2 + deep / 2 + 0.5 * high * np.sin(lean)
        thing.box(
            (aside, behind, height_m + high / 2), (width, deep, high), cover, tilt_rad=-float(lean) * 0.999
        )
    if soft or kind == "wheelchair":
        for x in (-1, 1):
            arm = 0.12 if soft else 0.05
            thing.box(
                (aside + x * (width / 2 + arm / 2 + 0.02), 0, height_m + 0.16),
                (arm, depth, 0.04),
                frame,
                solid=False,
            ) if not soft else thing.box(
                (aside + x * (width / 2 + arm / 2), 0.05, (height_m + 0.2) / 2),
                (arm, depth, height_m + 0.2),
                cover,
            )
    if kind == "wheelchair":
        for x in (-1, 1):
            thing.ring((x * (width / 2 + 0.05), 0.1, 0.3), 0.29, 0.015, _RUBBER)
            thing.ring((x * (width / 2 - 0.03), -0.35, 0.1), 0.09, 0.015, _RUBBER)
    return thing


def table(rng: RNG) -> Thing:
    """A table or a desk."""
    thing, top = Thing(), wood(rng)
    w, d, h = float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.4, 0.78))
    thing.box((0, 0, h - 0.02), (w, d, 0.04), top)
    legs = metal(rng) if rng.random() < 0.4 else top
    for x in (-1, 1):
        for y in (-1, 1):
            at = (x * (w / 2 - 0.05), y * (d / 2 - 0.05))
            thing.tube((*at, 0), (*at, h - 0.03), 0.022, legs, sides=6)
    thing.blocks.append(Block((0.0, 0.0, h / 2), (w / 2, d / 2, h / 2)))
    for _ in range(rng.integers(0, 4)):
        size = tuple(rng.uniform(0.05, 0.3, 3))
        thing.box(
            (rng.uniform(-w / 3, w / 3), rng.uniform(-d / 3, d / 3), h + size[2] / 2), size, surface(rng)
        )
    return thing


def cabinet(rng: RNG) -> Thing:
    """A cupboard, nightstand, shelf or appliance: a box with doors."""
    thing, body = Thing(), wood(rng) if rng.random() < 0.6 else surface(rng)
    w, d, h = float(rng.uniform(0.35, 1.3)), float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.4, 2.0))
    thing.box((0, 0, h / 2), (w, d, h), body)
    rows, columns = rng.integers(1, 5), rng.integers(1, 3)
    front = surface(rng) if rng.random() < 0.3 else Material(near(body.colour, rng), body.second, "plain")
    for i in range(rows):
        for j in range(columns):
            cell = (w / columns, h / rows)
            at = (-w / 2 + cell[0] * (j + 0.5), -d / 2 - 0.008, cell[1] * (i + 0.5))
            thing.box(at, (cell[0] * 0.94, 0.016, cell[1] * 0.94), front, solid=False)
    return thing


def walker(rng: RNG) -> Thing:
    """A walking frame."""
    thing, frame = Thing(), metal(rng)
    h, w, d = float(rng.uniform(0.75, 0.95)), 0.55, 0.45
    for x in (-1, 1):
        for y in (-1, 1):
            thing.tube((x * w / 2, y * d / 2, 0), (x * w * 0.42, y * d * 0.25, h), 0.014, frame, sides=6)
        thing.tube((x * w * 0.42, -d * 0.25, h), (x * w * 0.42, d * 0.25, h), 0.018, frame, sides=6)
    for z in (0.35, h - 0.05):
        thing.tube((-w * 0.45, -d * 0.3, z), (w * 0.45, -d * 0.3, z), 0.013, frame, sides=6)
    thing.box((0, 0, h / 2), (w, d, h), frame)  # only its block is kept: nobody stands inside the frame
    thing.solids.pop()
    return thing


def stand(rng: RNG) -> Thing:
    """A drip stand, a lamp or a plant."""
    thing, pole = Thing(), metal(rng)
    h = float(rng.uniform(1.2, 2.0))
    thing.tube((0, 0, 0.03), (0, 0, h), 0.015, pole, sides=6)
    thing.tube((0, 0, 0), (0, 0, 0.04), float(rng.uniform(0.12, 0.25)), pole, sides=12)
    what = rng.random()
    if what < 0.4:
        thing.box((0.08, 0, h - 0.15), (0.1, 0.04, 0.2), surface(rng, 0.5))
    elif what < 0.7:
        thing.ball((0, 0, h), (0.18, 0.18, 0.15), surface(rng, 0.5), 0.8)
    else:
        leaf = Material((0.15, 0.35, 0.12), (0.3, 0.5, 0.2), "speckle", 0.1)
        for _ in range(4):
            thing.ball(
                tuple(rng.uniform(-0.15, 0.15, 3) + np.array([0, 0, h * 0.7])),
                tuple(rng.uniform(0.1, 0.25, 3)),
                leaf,
                0.9,
            )
    thing.blocks.append(Block((0.0, 0.0, h / 2), (0.2, 0.2, h / 2)))
    return thing


def curtain(rng: RNG) -> Thing:
    """A hanging curtain, waved, along x."""
    thing, cloth = Thing(), linen(rng) if rng.random() < 0.4 else surface(rng, 0.3)
    w, h = float(rng.uniform(0.6, 2.2)), float(rng.uniform(1.7, 2.4))
    x = np.linspace(-w / 2, w / 2, 49)
    wave = 0.05 * np.sin(x * rng.uniform(25, 45) + rng.uniform(0, 6)) + 0.03 * np.sin(
        x * 9 + rng.uniform(0, 6)
    )
    z = np.linspace(0.15, 0.15 + h, 3)
    grid = np.stack(np.broadcast_arrays(x[:, None], wave[:, None], z[None, :]), axis=2)
    thing.sheet(grid, cloth)
    thing.blocks.append(Block((0.0, 0.0, 1.2), (w / 2, 0.09, 1.2)))
    return thing


def clutter(rng: RNG) -> Thing:
    """Small things on the floor: boxes, bags, shoes, cushions."""
    thing = Thing()
    for _ in range(rng.integers(1, 3)):
        at, size = rng.uniform(-0.2, 0.2, 2), rng.uniform(0.06, 0.45, 3)
        if rng.random() < 0.5:
            thing.box((*at, size[2] / 2), tuple(size), surface(rng))
        else:
            thing.ball((*at, size[2] / 2), tuple(size / 2), surface(rng), float(rng.uniform(0.4, 1)))
            thing.box((*at, size[2] / 2), tuple(size), surface(rng))
            thing.solids.pop()
    return thing


def heap(rng: RNG, base_m: float | int = 0.0) -> Thing:
    """Bedding, clothes or bags in a heap, up to as large as somebody curled up, and nobody in it."""
    thing, cloth = Thing(), linen(rng) if rng.random() < 0.4 else surface(rng, 0.02, plain=0.75)
    size = rng.uniform((0.3, 0.25, 0.1), (1.3, 0.6, 0.35))
    for _ in range(rng.integers(2, 6)):
        half = size / 2 * rng.uniform(0.45, 1.0, 3)
        at = rng.uniform(-0.5, 0.5, 2) * (size[:2] - half[:2])
        material = cloth if rng.random() < 0.7 else surface(rng, 0.02)
        thing.ball((*at, base_m + half[2] * 0.9), tuple(half), material, float(rng.uniform(0.6, 1.1)))
    if base_m == 0:
        x, y, z = (float(side) / 2 for side in size)
        thing.blocks.append(Block((0.0, 0.0, z), (x, y, z)))
    return thing


def mat(rng: RNG) -> Thing:
    """A mat, a mattress or a pad on the floor, mostly dark."""
    thing = Thing()
    size = (float(rng.uniform(0.6, 2.2)), float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.03, 0.5)))
    cover = surface(rng, 0.02, 0.35, plain=0.8) if rng.random() < 0.6 else surface(rng)
    for k in range(int(rng.integers(1, 3))):
        thing.box((k * 0.5 * size[0], 0, size[2] / 2), size, cover)
    return thing
