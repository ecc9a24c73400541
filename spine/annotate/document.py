"""The page as one self-contained file, and the policy that allows its own scripts and styles only."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

_STYLES = ("page.css", "panel.css")
_SCRIPTS = ("state.js", "curve.js", "view.js", "handles.js", "solid.js", "scene.js", "panel.js", "main.js")


@lru_cache(maxsize=1)
def page() -> str:
    """HTML. The scripts share one scope, and are a module: strict, and run when the page is there."""
    style, script = "".join(map(_read, _STYLES)), "".join(map(_read, _SCRIPTS))
    return _read("page.html").replace("/*styles*/", style).replace("/*scripts*/", script)


@lru_cache(maxsize=1)
def policy() -> str:
    """Content-Security-Policy of all answers: nothing comes from, or goes to, another server."""
    return (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
        "img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def _hashes(tag: str) -> str:
    found = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page(), re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in found]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _read(name: str) -> str:
    return files("spine.annotate").joinpath(name).read_text(encoding="utf-8")
