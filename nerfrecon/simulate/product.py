"""Photographs of a product of the project's own making, on its printed mat, with the truth beside them.

images/0000.jpg ..     what a pipeline gets: RGB, with the focal length in EXIF
truth/                 what it must not read:
  transforms.json        cameras and poses (metres, y up, foot on y = 0), masks, depth, the product's box
  masks/, depth/         the product white; depth of all that is seen, along the optical axis
  mesh.ply               the product alone, vertex colours; mat.png: the mat as it is printed
  truth.json             marker: dictionary, number, side and middle; box; seed
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.write import write_transforms
from nerfrecon.simulate.options import MARKER_DICTIONARY, MARKER_ID, MARKER_SIDE_M, ProductOptions
from nerfrecon.simulate.orbit import ring_poses
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.product_shape import HEIGHT_M, product
from nerfrecon.simulate.product_texture import MARKER_MIDDLE_M, MAT, MAT_SIDE_M
from nerfrecon.simulate.subject import Subject
from suite.data.images import write_depth_png, write_image
from suite.files import atomic_folder, atomic_write
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import Mesh
from suite.geometry.ply import write_ply
from suite.progress import track

DISTANCE_M = 0.36
FOCAL = 1.15
"""Of the width of the picture."""
DEPTH_UNIT_M = 2e-5
_FAR_BACKGROUND = np.array([[0.60, 0.63, 0.66], [0.70, 0.71, 0.72]])  # below and above, in [0, 1]
_MARGIN = 0.05  # of the box, in its longest side


def photograph_product(folder: str | Path, options: ProductOptions | None = None) -> Path:
    """Photograph the product into `folder`, which must not be there; returns `folder`/images. Atomic.

    36 views of 640 x 480 px take about half a CPU-minute.
    """
    options = ProductOptions() if options is None else options
    subject, faces = product(options.seed)
    studio, rng = Studio(subject), np.random.default_rng(options.seed)
    camera = product_camera(options)
    low, high = _box(subject, faces)
    margin = _MARGIN * (high - low).max()
    with atomic_folder(Path(folder)) as made:
        for name in ("images", "truth/masks", "truth/depth"):
            (made / name).mkdir(parents=True)
        views = []
        for number, pose in enumerate(track(_walk(options, rng), "Photographing")):
            rgb, mask, depth = _photograph(studio, camera, pose, faces, options.finer)
            name, truth = f"{number:04d}", made / "truth"
            _write_photograph(made / "images" / f"{name}.jpg", rgb, camera, options, rng)
            write_image(truth / "masks" / f"{name}.png", np.repeat(mask[..., None], 3, 2))
            write_depth_png(truth / "depth" / f"{name}.png", depth, DEPTH_UNIT_M)
            views.append(
                View(
                    f"../images/{name}.jpg",
                    made / "images" / f"{name}.jpg",
                    LensCamera(camera),
                    pose,
                    truth / "masks" / f"{name}.png",
                    depth_path=truth / "depth" / f"{name}.png",
                    depth_unit=DEPTH_UNIT_M,
                )
            )
        box, up = np.stack([low - margin, high + margin]), np.array([0.0, 1.0, 0.0])
        write_transforms(made / "truth" / "transforms.json", Scene(made, tuple(views), box, up=up))
        write_ply(made / "truth" / "mesh.ply", _mesh(subject, faces))
        assert subject.texture is not None
        mat = subject.texture[MAT.top : MAT.top + MAT.height, MAT.left : MAT.left + MAT.width]
        write_image(made / "truth" / "mat.png", np.ascontiguousarray(mat))
        truth = {
            "marker": {
                "dictionary": MARKER_DICTIONARY,
                "id": MARKER_ID,
                "side_m": MARKER_SIDE_M,
                "middle_m": [MARKER_MIDDLE_M[0], 0.0, MARKER_MIDDLE_M[1]],
            },
            "mat_side_m": MAT_SIDE_M,
            "box": [low.tolist(), high.tolist()],
            "seed": options.seed,
        }
        with atomic_write(made / "truth" / "truth.json", "w") as out:
            json.dump(truth, out, indent=1)
    return Path(folder) / "images"


def product_camera(options: ProductOptions) -> PinholeCamera:
    """The lens of the photographs."""
    w, h = options.width_px, options.height_px
    return PinholeCamera(w, h, FOCAL * w, FOCAL * w, (w - 1) / 2, (h - 1) / 2)


def _walk(options: ProductOptions, rng: np.random.Generator) -> Float[np.ndarray, "n 4 4"]:
    """Rings around the product, held by hand: distance, aim and level vary."""
    middle = np.array([0.008, 0.45 * HEIGHT_M, 0.0])
    poses = ring_poses(
        middle, DISTANCE_M, options.views, options.lowest_deg, options.highest_deg, options.rings
    )
    shaky = []
    for pose in poses:
        far = DISTANCE_M * (1 + options.hand_jitter * rng.uniform(-1, 1))
        position = middle - far * pose[:3, 2]
        ahead = middle + options.hand_jitter * 0.1 * rng.uniform(-1, 1, 3) - position
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        down = np.cross(ahead, right)
        roll = options.hand_jitter * rng.uniform(-1, 1)
        T = np.eye(4)
        T[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
        T[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
        T[:3, 2], T[:3, 3] = ahead, position
        shaky.append(T)
    return np.stack(shaky)


def _photograph(
    studio: Studio, camera: PinholeCamera, pose: np.ndarray, faces: int, finer: int
) -> tuple[Float[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Colour in [0, 1], the product's share of each pixel in 255, depth of all."""
    look = studio.look(camera, pose, finer)
    share = (np.arange(camera.height * finer) + 0.5)[:, None, None] / (camera.height * finer)
    empty = share * _FAR_BACKGROUND[0] + (1 - share) * _FAR_BACKGROUND[1]
    colour = np.where(look.hit[..., None], look.colour, empty)
    blocks = (camera.height, finer, camera.width, finer)
    own = ((look.face >= 0) & (look.face < faces)).reshape(blocks).mean((1, 3))
    depth = studio.depth(camera, pose)
    return (
        colour.reshape(*blocks, 3).mean((1, 3)).clip(0, 1),
        np.round(255 * own).astype(np.uint8),
        depth,
    )


def _write_photograph(
    path: Path,
    rgb: np.ndarray,
    camera: PinholeCamera,
    options: ProductOptions,
    rng: np.random.Generator,
) -> None:
    from PIL import ExifTags, Image

    gain = 1 + options.exposure_jitter * float(np.clip(rng.normal(), -2, 2))
    taken = 255 * gain * rgb + options.noise * rng.normal(size=rgb.shape)
    exif = Image.Exif()
    if options.exif:
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Simulated", "Phone"
        more = exif.get_ifd(ExifTags.IFD.Exif)
        longer = max(camera.width, camera.height)
        more[ExifTags.Base.FocalLengthIn35mmFilm] = round(36 * camera.fx / longer)
        more[ExifTags.Base.FocalLength] = round(6 * camera.fx / longer, 2)  # of a sensor 6 mm wide
    with atomic_write(path) as out:
        picture = Image.fromarray(np.round(taken).clip(0, 255).astype(np.uint8))
        picture.save(out, "JPEG", quality=options.jpeg_quality, exif=exif)


def _box(subject: Subject, faces: int) -> Float[np.ndarray, "2 3"]:
    corners = subject.vertices[subject.faces[:faces].ravel()]
    return np.stack([corners.min(0), corners.max(0)])


def _mesh(subject: Subject, faces: int) -> Mesh:
    """The product alone; a vertex has the colour of the last of its corners."""
    own = subject.faces[:faces]
    colours = np.zeros((own.max() + 1, 3), np.uint8)
    for k in range(3):
        weight = np.tile(np.eye(3)[k], (faces, 1))
        colours[own[:, k]] = np.round(255 * subject.colour(np.arange(faces), weight).clip(0, 1))
    return Mesh(subject.vertices[: own.max() + 1], own, vertex_colors=colours, name="product")
