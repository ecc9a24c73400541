"""The page as one self-contained file: HTML with its own styles and scripts, and the policy that allows just
these."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

_STYLES = ("page.css", "events.css", "zones.css")
_SCRIPTS = ("state.js", "tiles.js", "events.js", "polygons.js", "zones.js", "main.js")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]*")


@lru_cache(maxsize=1)
def page() -> str:
    """The live page. Scripts share one scope, and are a module: strict, and run when the page is there."""
    style, script = "".join(map(_read, _STYLES)), "".join(map(_read, _SCRIPTS))
    return _read("page.html").replace("/*styles*/", style).replace("/*scripts*/", script)


@lru_cache(maxsize=1)
def login_page() -> str:
    """The form that asks for the token; ``<!--wrong-->`` is where to say that it was another."""
    return _read("login.html").replace("/*styles*/", _read(_STYLES[0]))


def policy(host: str) -> str:
    """Content-Security-Policy of all answers: the page's own scripts by their hashes, and no other server.

    ``host`` is named because not every browser counts a WebSocket as 'self'.
    """
    sockets = f" ws://{host} wss://{host}" if host and _HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
        f"img-src 'self' blob: data:; media-src 'self'; connect-src 'self'{sockets}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@lru_cache(maxsize=4)
def _hashes(tag: str) -> str:
    pattern = re.compile(rf"<{tag}[^>]*>(.*?)</{tag}>", re.DOTALL)
    found = [text for document in (page(), login_page()) for text in pattern.findall(document)]
    digests = dict.fromkeys(hashlib.sha256(text.encode()).digest() for text in found)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _read(name: str) -> str:
    return files("falldet.watch.page").joinpath(name).read_text(encoding="utf-8")
