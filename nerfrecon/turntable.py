"""A turn around a product as a video."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from nerfrecon.evaluate import GREYS
from nerfrecon.evaluate_product import in_scene
from nerfrecon.product_folder import field_folder, product_glb
from nerfrecon.render_views import open_run, orbit_cameras
from nerfrecon.texture.glb import read_textured_glb
from nerfrecon.texture.render import Renderer
from nerfrecon.train import open_scene
from nerfrecon.training.preview import eight_bits
from suite.data.images import write_image
from suite.errors import BackendUnavailable, BadInput
from suite.files import atomic_write
from suite.progress import track

CODECS = {".mp4": ("mp4", ("libx264", "libopenh264", "mpeg4")), ".webm": ("webm", ("libvpx-vp9", "libvpx"))}
QUALITY = "20"
"""Constant rate factor: the lower the better; 20 is hard to tell from the pictures."""


def write_video(path: Path, pictures: Iterable[UInt8[np.ndarray, "h w 3"]], fps: int = 30) -> int:
    """Write pictures of one size as .mp4 (H.264) or .webm (VP9), whole or not at all; returns how many.

    An odd last row or column is left out: players want sizes that are even. Raises BadInput for another
    suffix and for no pictures, BackendUnavailable without PyAV.
    """
    if path.suffix.lower() not in CODECS:
        raise BadInput("is no video that can be written", path, hint=f"name it {' or '.join(CODECS)}")
    try:
        import av
    except ImportError as error:
        raise BackendUnavailable("PyAV", str(error), hint="pip install av") from None
    container_format, codecs = CODECS[path.suffix.lower()]
    codec = next((name for name in codecs if name in av.codecs_available), None)
    if codec is None:
        raise BackendUnavailable("a video encoder", f"PyAV was built without {', '.join(codecs)}")
    count = 0
    with atomic_write(path) as file, av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        for picture in pictures:
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            if not count:
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.options = {"crf": QUALITY, "b": "0"} if "vp" in codec else {"crf": QUALITY}
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))
            count += 1
        if not count:
            raise BadInput("there are no pictures for a video", path)
        container.mux(stream.encode())
    return count


def turn(
    run: Path,
    out: Path,
    count: int,
    *,
    of: Literal["field", "mesh"] = "field",
    scale: float | int = 1.0,
    fps: int = 30,
    backend: Literal["auto", "native", "torch", "tcnn"] = "auto",
) -> int:
    """A turn around the box of a training or product: a video where `out` is .mp4 or .webm, else a folder of
    PNG. Returns how many views. Raises BadInput for what has no field, or no mesh where that is asked for."""
    config, opened = open_run(field_folder(run), backend)
    scene = open_scene(config)
    background = GREYS[config.background]
    cameras = orbit_cameras(scene, count, config.picture_scale * scale)
    if of == "mesh":
        renderer = Renderer(read_textured_glb(product_glb(run)))
        rendered = (renderer.render(in_scene(camera, scene), background) for camera in cameras)
    else:
        rendered = (opened.render(camera, background) for camera in cameras)
    pictures = (eight_bits(one.rgb) for one in track(rendered, "Rendering", total=count))
    if out.suffix.lower() in CODECS:
        return write_video(out, pictures, fps)
    for number, picture in enumerate(pictures):
        write_image(out / f"{number:04d}.png", picture)
    return count
