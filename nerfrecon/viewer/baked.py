"""The page of a baked model: one HTML file with the model inside, ray-marched by its own WebGL 2 shader.

Cameras of tests are placed as pictures have them (baked.js): what the page draws is what
`nerfrecon.bake.render` computes.
"""

from __future__ import annotations

from pathlib import Path

from nerfrecon.bake.file import NAME, read_baked
from nerfrecon.viewer.frame import viewer_text, write_page

SCRIPTS = ("page.js", "controls.js", "camera.js", "baked_model.js", "baked_render.js", "baked.js")


def write_baked_page(baked: str | Path, out_html: str | Path, title: str) -> Path:
    """Write the page of a baked model, its file or the folder with it, whole or not at all; returns where.

    Raises BadInput for a file that is damaged or no baked model.
    """
    baked, out_html = Path(baked), Path(out_html)
    if baked.is_dir():
        baked = baked / NAME
    read_baked(baked)
    shader = {"fragment": viewer_text("baked.glsl")}
    return write_page(out_html, title, baked.read_bytes(), own="", scripts=SCRIPTS, data=shader)
