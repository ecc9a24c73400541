"""The page of a baked model: one HTML file with the model inside, ray-marched by its own WebGL 2 shader.

It asks no server for anything; the browser itself is told to refuse. Cameras of tests are placed as pictures
have them (baked.js): what the page draws is what `nerfrecon.bake.render` computes.
"""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files
from pathlib import Path

from nerfrecon.bake.file import NAME, read_baked
from suite.files import atomic_write

STYLES = ("page.css",)
SCRIPTS = ("controls.js", "camera.js", "baked_model.js", "baked_render.js", "baked.js")


def write_baked_page(baked: str | Path, out_html: str | Path, title: str) -> Path:
    """Write the page of a baked model, its file or the folder with it, whole or not at all; returns where.

    Raises BadInput for a file that is damaged or no baked model.
    """
    baked, out_html = Path(baked), Path(out_html)
    if baked.is_dir():
        baked = baked / NAME
    read_baked(baked)
    page = _read("baked.html").replace("<!--title-->", escape(title))
    page = page.replace("/*styles*/", "".join(map(_read, STYLES))).replace(
        "/*fragment*/", _read("baked.glsl")
    )
    # One "use strict" goes for all: they are one script.
    page = page.replace("/*scripts*/", "".join(_read(name) for name in SCRIPTS))
    before, _, after = page.partition("/*model*/")
    with atomic_write(out_html) as out:
        out.write(before.encode())
        out.write(base64.b64encode(baked.read_bytes()))
        out.write(after.encode())
    return out_html


def _read(name: str) -> str:
    return files("nerfrecon.viewer").joinpath(name).read_text(encoding="utf-8")
