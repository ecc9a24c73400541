"""The page of a textured mesh: one HTML file with the GLB inside, drawn by its own WebGL 2 renderer.

Cameras of tests are placed as pictures have them (see mesh.js): what the page draws and a ray cast from the
same camera agree pixel by pixel.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from nerfrecon.viewer.frame import viewer_text, write_page
from suite.errors import BadInput

SCRIPTS = ("page.js", "controls.js", "camera.js", "glb.js", "mesh_shaders.js", "mesh_render.js", "mesh.js")
_HEADER_BYTES = 20


def write_mesh_page(glb: str | Path, out_html: str | Path, title: str, metric: bool = True) -> Path:
    """Write the page of `glb`, whole or not at all; returns where.

    `metric` False where the model's unit is not known to be the metre: then the page says "units". Raises
    BadInput for a file that is no binary glTF 2.0, or is cut off.
    """
    glb, out_html = Path(glb), Path(out_html)
    data = _checked(glb)
    facts = json.dumps({"file": glb.name, "metric": metric}).replace("<", "\\u003c")
    return write_page(
        out_html, title, data, own=viewer_text("mesh.html"), scripts=SCRIPTS, data={"facts": facts}
    )


def _checked(glb: Path) -> bytes:
    try:
        data = glb.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", glb) from None
    if len(data) < _HEADER_BYTES or struct.unpack_from("<4sI", data) != (b"glTF", 2):
        raise BadInput("is no binary glTF 2.0", glb, hint="export it as .glb")
    if struct.unpack_from("<I", data, 8)[0] > len(data):
        raise BadInput("is cut off", glb, hint="export it again")
    return data
