"""The page of a textured mesh: one HTML file with the GLB inside, drawn by its own WebGL 2 renderer.

It asks no server for anything; the browser itself is told to refuse. Cameras of tests are placed as pictures
have them (see mesh.js): what the page draws and a ray cast from the same camera agree pixel by pixel.
"""

from __future__ import annotations

import base64
import json
import struct
from html import escape
from importlib.resources import files
from pathlib import Path

from suite.errors import BadInput
from suite.files import atomic_write

STYLES = ("page.css",)
SCRIPTS = ("controls.js", "camera.js", "glb.js", "mesh_shaders.js", "mesh_render.js", "mesh.js")
_HEADER_BYTES = 20


def write_mesh_page(glb: str | Path, out_html: str | Path, title: str, metric: bool = True) -> Path:
    """Write the page of `glb`, whole or not at all; returns where.

    `metric` False where the model's unit is not known to be the metre: then the page says "units". Raises
    BadInput for a file that is no binary glTF 2.0, or is cut off.
    """
    glb, out_html = Path(glb), Path(out_html)
    data = _checked(glb)
    facts = json.dumps({"file": glb.name, "metric": metric}).replace("<", "\\u003c")
    # The model last: it is long, and nothing is looked for in it.
    page = _read("mesh.html").replace("<!--title-->", escape(title))
    page = page.replace("/*styles*/", "".join(map(_read, STYLES)))
    page = page.replace("/*scripts*/", "".join(_read(name) for name in SCRIPTS)).replace("/*facts*/", facts)
    before, _, after = page.partition("/*model*/")
    with atomic_write(out_html) as out:
        out.write(before.encode())
        out.write(base64.b64encode(data))
        out.write(after.encode())
    return out_html


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


def _read(name: str) -> str:
    return files("nerfrecon.viewer").joinpath(name).read_text(encoding="utf-8")
