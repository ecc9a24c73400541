"""Addresses of cameras, and their credentials kept out of everything that is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

Kind = Literal["network", "webcam", "recording", "folder", "file"]

SCHEMES = ("rtsp", "rtsps", "http", "https")
_HIDDEN = "***"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
_PARTS = re.compile(r"^([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)$", re.IGNORECASE | re.DOTALL)
# Cameras are also logged in to by ?user=a&password=b, and recorders by /user=a_password=b_channel=1.
_TELLING = re.compile(
    r"((?:^|[?&;/_,#])[^=&;/?,#]*?(?:user|usr|login|pass|pwd|pw|token|auth|key|secret|sig|session|cred)"
    r"[^=&;/?,#]*=)(?:(?!_[a-z]+=)[^&;/?,#])*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """``text`` with the credentials of every URL in it made unreadable: user names, passwords, tokens."""
    return _URL.sub(lambda found: _hide(found.group()), text)


def without(text: str, secrets: tuple[str, ...]) -> str:
    """``redacted``, and rid of these words too, as they are and as they stand in a URL."""
    for secret in sorted((s for s in secrets if len(s) > 2), key=len, reverse=True):
        for form in {secret, quote(secret, safe=""), quote(secret)}:
            text = text.replace(form, _HIDDEN)
    return redacted(text)


def split_login(url: str) -> tuple[str, str | None, str | None]:
    """The URL without its login, the user name, the password; None where it has none of them.

    Raises ValueError, which does not repeat it, where it can not be told where the login ends.
    """
    parts = _PARTS.match(url)
    if parts is None:
        return url, None, None
    scheme, authority, rest = parts.groups()
    if _cut_short(authority, rest):
        raise ValueError("the login in the address holds a / ? or #: give username and password instead")
    login, at, host = authority.rpartition("@")
    if not at:
        return url, None, None
    user, colon, password = login.partition(":")
    return f"{scheme}://{host}{rest}", unquote(user), unquote(password) if colon else None


def with_login(url: str, username: str | None, password: str | None) -> str:
    """The URL as FFmpeg wants it: the login percent-encoded, in front of the host. Never to be shown."""
    parts = _PARTS.match(url)
    if parts is None or username is None:
        return url
    login = quote(username, safe="") + ("" if password is None else f":{quote(password, safe='')}")
    return f"{parts[1]}://{login}@{parts[2].rpartition('@')[2]}{parts[3]}"


def host_of(url: str) -> str:
    """Name or number of the host, without the port; empty where there is none."""
    parts = _PARTS.match(url)
    host = "" if parts is None else parts[2].rpartition("@")[2]
    return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]


def kind_of(source: str) -> Kind:
    """What is named: an address, the number of a camera of this computer, or what lies at a path."""
    if "://" in source:
        return "network"
    path = Path(source)
    if source.isdecimal() and not path.exists():
        return "webcam"
    if path.is_dir():
        return "recording" if (path / "recording.json").is_file() else "folder"
    return "file"


def _hide(url: str) -> str:
    parts = _PARTS.match(url)
    if parts is None:
        return url
    scheme, authority, rest = parts.groups()
    if _cut_short(authority, rest):  # better too much than half of a password
        authority, rest = _HIDDEN, "@" + rest.rpartition("@")[2]
    elif "@" in authority:
        authority = f"{_HIDDEN}@{authority.rpartition('@')[2]}"
    return f"{scheme}://{authority}{_TELLING.sub(lambda found: found[1] + _HIDDEN, rest)}"


def _cut_short(authority: str, rest: str) -> bool:
    """Whether a login goes on behind what should be the host, as in rtsp://user:pa/ss@host/."""
    host = authority.rpartition("@")[2]
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    return "@" in rest and bool(port) and not port.isdecimal()
