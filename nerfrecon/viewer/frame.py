"""The page that a model is shown on: one HTML file with styles, scripts and the model inside.

frame.html is what all such pages share, with comments where a page adds something of its own. A page's own
HTML is a file with the same comments, each before what goes there. The page asks no server for anything; the
browser itself is told to refuse.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from suite.files import atomic_write

_SLOT = re.compile(r"<!--(\w+)-->\n?")


def write_page(
    out_html: Path, title: str, model: bytes, *, own: str, scripts: Sequence[str], data: Mapping[str, str]
) -> Path:
    """Write the page of `model`, whole or not at all; returns where.

    `own` is what the page adds to the frame, `data` is text that scripts find as elements by these names, in
    which nothing may end an element.
    """
    _, *pieces = _SLOT.split(own)
    parts = dict(zip(pieces[::2], pieces[1::2], strict=True))
    parts["title"] = escape(title)
    parts["styles"] = f"<style>\n{viewer_text('page.css')}</style>\n"
    parts["data"] = "".join(
        f'<script type="text/plain" id="{name}">{text}</script>\n' for name, text in data.items()
    )
    # One "use strict" goes for all: they are one script.
    parts["scripts"] = f"<script>\n{''.join(map(viewer_text, scripts))}</script>\n"

    def fill(frame: str) -> str:
        return _SLOT.sub(lambda found: parts.get(found[1], ""), frame)

    before, after = viewer_text("frame.html").split("/*model*/")
    with atomic_write(out_html) as out:
        out.write(fill(before).encode())
        out.write(base64.b64encode(model))
        out.write(fill(after).encode())
    return out_html


def viewer_text(name: str) -> str:
    """A file of the pages."""
    return files("nerfrecon.viewer").joinpath(name).read_text(encoding="utf-8")
