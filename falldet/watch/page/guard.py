"""Who may ask what: every request passes here first.

Against pages elsewhere that a browser has open: the Host header must be an address or a name we know (DNS
rebinding), what changes something must come from our own page (CSRF), and nothing is handed to other sites
(CORP, Sec-Fetch-Site; https://www.w3.org/TR/fetch-metadata/). Against the network: a token, compared in
constant time, sent as `Authorization: Bearer` or once by the login form, which leaves a cookie.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_WRONG_S = 1.0  # what a wrong token costs whoever tries
_CHANGING = ("PUT", "POST", "PATCH", "DELETE")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Server": "falldet",
}


class Guard:
    """Refuses what should not be, in one line of text; ``middleware`` is put around everything.

    ``names`` are host names beside addresses and localhost; ``policy`` gives the page's Content-Security-
    Policy for a host. Without a ``token`` whoever reaches the port is let in: for loopback only.
    """

    def __init__(
        self, token: str | None, names: tuple[str, ...], policy: Callable[[str], str], login: str
    ) -> None:
        self._token = token
        self._names = frozenset(name.lower() for name in names)
        self._policy = policy
        self._login = login

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The door."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        if self._token is not None and request.path == "/login":
            return await self._log_in(request, self._token)
        if self._token is not None and not self._knows(request, self._token):
            return await self._stranger(request)
        return await handler(request)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """A signal handler (`on_response_prepare`): every answer carries them, files and errors too."""
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers["Content-Security-Policy"] = self._policy(
            request.host if _known_host(request.host, self._names) else ""
        )

    def _refused(self, request: web.Request) -> web.Response | None:
        if not _known_host(request.host, self._names):
            return _no(421, "this name is not known here: use a numeric address, or add it to page.names")
        origin = request.headers.get("Origin")
        upgrades = "websocket" in request.headers.get("Upgrade", "").lower()
        if (
            origin is not None
            and (request.method in _CHANGING or upgrades)
            and urlsplit(origin).netloc.lower() != request.host.lower()
        ):
            return _no(403, "other pages may not do that")
        site = request.headers.get("Sec-Fetch-Site", "none")
        visits = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("same-origin", "none") and not (visits and request.path in ("/", "/login")):
            return _no(403, "other pages may not see that")
        return None

    def _knows(self, request: web.Request, token: str) -> bool:
        cookie = request.cookies.get(_cookie_name(request), "")
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        by_cookie = hmac.compare_digest(cookie.encode(), _mark(token).encode())
        by_header = kind.lower() == "bearer" and _same(given.strip(), token)
        return by_cookie or by_header

    async def _stranger(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization"):
            await asyncio.sleep(_WRONG_S)
        if request.method == "GET" and request.path == "/":
            return web.Response(text=self._login, content_type="text/html", status=401)
        refused = _no(401, "a token is needed: log in on the page, or send Authorization: Bearer TOKEN")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    async def _log_in(self, request: web.Request, token: str) -> web.Response:
        if request.method != "POST":
            raise web.HTTPSeeOther("/")
        given = (await request.post()).get("token")
        if not isinstance(given, str) or not _same(given.strip(), token):
            await asyncio.sleep(_WRONG_S)
            text = self._login.replace("<!--wrong-->", "That is not the token.")
            return web.Response(text=text, content_type="text/html", status=401)
        found = web.Response(status=303, headers={"Location": "/"})
        # Lax: a link to the page in an alarm message works; what changes anything is checked by its origin.
        found.set_cookie(
            _cookie_name(request),
            _mark(token),
            max_age=90 * 86400,
            httponly=True,
            samesite="Lax",
            secure=request.secure,
        )
        return found


def _known_host(host: str, names: frozenset[str]) -> bool:
    """Rebinding needs a name: an address in the header was typed by whoever sits there."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].lower().rstrip(".")
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _mark(token: str) -> str:
    """What the cookie holds: shows that its owner knew the token, without being it."""
    return hmac.new(token.encode(), b"falldet page", hashlib.sha256).hexdigest()


def _cookie_name(request: web.Request) -> str:
    port = request.host.rpartition(":")[2]  # cookies know no ports: two watches on one host keep theirs apart
    return f"falldet_{port if port.isdecimal() else 'page'}"


def _no(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
