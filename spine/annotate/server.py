"""The page's server: on this computer only, for whoever knows the address with its token.

    GET  /TOKEN/             the page                GET  /TOKEN/state.json      marks and all facts
    GET  /TOKEN/NAME.png     a picture               GET  /TOKEN/heights.bin, bones.bin
    POST /TOKEN/save         {"marks"}               POST /TOKEN/fit             {"marks"}, or null
    POST /TOKEN/place        {"places"} -> marks     GET  /TOKEN/fit             how far it is

Every request passes `_refusal` first. Against pages elsewhere that the browser has open: the Host must be a
name of this computer (DNS rebinding), what changes something must come from our own page as JSON (CSRF), and
nothing is handed to other sites (Sec-Fetch-Site, CORP). Against other users of this computer: the token.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from spine.annotate.content import Content
from spine.annotate.document import page, policy
from spine.annotate.refit import Fit, Refit
from spine.annotate.session import LINE, POINTS, Session
from spine.landmarks import LandmarkOptions
from suite.errors import BadInput, SuiteError

HOST = "127.0.0.1"
_OURS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_MOST_BYTES = 1 << 20
_IDLE_S = 75.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PNG, _BYTES, _JSON = "image/png", "application/octet-stream", "application/json"


class AnnotateServer:
    """Serves a session until `close`; `url` is where. BadInput where the port is taken.

    What the page saves goes to `out`; `saved` says whether anything has been.
    """

    def __init__(
        self,
        session: Session,
        fit: Fit,
        out: Path,
        name: str,
        options: LandmarkOptions | None = None,
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self.session, self.out, self.name = session, out, name
        self.options = options or LandmarkOptions()
        self.token = token or secrets.token_urlsafe(18)
        self.content, self.refit = Content(session), Refit(session, fit)
        self.saved = False
        self._saving = threading.Lock()
        try:
            self._http = _Http((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise BadInput(
                f"cannot be listened on ({reason})", f"port {port}", "choose another; 0 takes a free one"
            ) from None
        self._http.served = self

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return f"http://{HOST}:{self._http.server_address[1]}/{self.token}/"

    def serve(self) -> None:
        """Answer until somebody calls `close`, or Ctrl-C."""
        self._http.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """End `serve`, which runs in another thread, and let go of the port."""
        self._http.shutdown()
        self.close_port()

    def close_port(self) -> None:
        """Let go of the port, where nobody serves any more."""
        self._http.server_close()

    def state(self) -> dict[str, Any]:
        """All that the page opens with."""
        session = self.session
        return {
            "name": self.name,
            "out": self.out.name,
            "marks": session.start,
            "given": session.given,
            "unit": session.unit,
            "trouble": session.trouble,
            "flags": session.flags,
            "fit": self.refit.state(),
            **self.content.about(),
        }

    def save(self, said: dict[str, Any]) -> dict[str, Any]:
        """Write what the page says; its content as it stands in the file comes back."""
        content = self.session.content(_marks(said))
        with self._saving:
            self.session.save(self.out, content, self.options)
            self.saved = True
        return {"file": self.out.name, "content": content}

    def fit(self, said: dict[str, Any]) -> dict[str, Any]:
        """Begin a fit with the marks of the page, or with nothing given."""
        marks = said.get("marks")
        content = None if marks is None else self.session.content(_marks(said))
        if content is not None and (content["vp"] is None or not _has_base(content)):
            raise BadInput("VP and the base, or both dimples, have to be placed first", "the page")
        self.refit.start(content)
        return self.refit.state()

    def place(self, said: dict[str, Any]) -> dict[str, Any]:
        """Marks of the skin at places (x, y), mm."""
        places = said.get("places")
        if not isinstance(places, list):
            raise BadInput("places are missing", "the page")
        return {"marks": [self.session.place(float(x), float(y)) for x, y in places]}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    served: AnnotateServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of an answer is no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: _Http  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Pages, pictures, facts."""
        served, path = self._entered()
        if served is None:
            return
        if path == "":
            self._answer(200, page().encode(), "text/html; charset=utf-8")
        elif path == "state.json":
            self._say(200, served.state())
        elif path == "fit":
            self._say(200, served.refit.state())
        elif path == "heights.bin":
            self._answer(200, served.content.heights, _BYTES)
        elif path == "bones.bin":
            self._answer(200, served.content.bones(), _BYTES)
        elif path.removesuffix(".png") in served.content.pictures and path.endswith(".png"):
            self._answer(200, served.content.pictures[path.removesuffix(".png")], _PNG)
        else:
            self._say(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        """What changes something."""
        served, path = self._entered()
        if served is None:
            return
        verbs = {"save": served.save, "fit": served.fit, "place": served.place}
        if path not in verbs:
            self.close_connection = True
            self._say(404, {"error": "there is no such page"})
            return
        said = self._heard()
        if said is None:
            return
        try:
            self._say(200, verbs[path](said))
        except SuiteError as error:
            self._say(400, {"error": " ".join(str(error).split())})
        except (TypeError, ValueError, OverflowError):
            self._say(400, {"error": "this is not what the page says"})

    def _entered(self) -> tuple[AnnotateServer | None, str]:
        """The server and the path behind the token; None where the request was refused."""
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True  # a body that was sent is not read
            self._answer(refusal[0], refusal[1].encode() + b"\n", "text/plain; charset=utf-8")
            return None, ""
        return self.server.served, self.path.partition("?")[0].split("/", 2)[2]

    def _refusal(self) -> tuple[int, str] | None:
        host = self.headers.get("Host", "")
        if not _OURS.fullmatch(host):
            return 421, "this name is not known here: open the address that the terminal shows"
        given = self.path.partition("?")[0].split("/", 2)
        token = self.server.served.token.encode()
        if len(given) != 3 or not hmac.compare_digest(given[1].encode("utf-8", "replace"), token):
            return 403, "the token is missing or wrong: open the address that the terminal shows"
        origin = self.headers.get("Origin")
        if self.command == "POST" and origin is not None and origin.lower() != f"http://{host.lower()}":
            return 403, "other pages may not do that"
        site = self.headers.get("Sec-Fetch-Site", "none")
        visits = self.command == "GET" and self.headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("same-origin", "none") and not visits:
            return 403, "other pages may not see that"
        return None

    def _heard(self) -> dict[str, Any] | None:
        """The JSON object of the request; None where it was none, which is then said."""
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != _JSON or not length.isdecimal() or int(length) > _MOST_BYTES:
            self.close_connection = True
            status = 413 if length.isdecimal() and int(length) > _MOST_BYTES else 415
            self._say(status, {"error": f"JSON of at most {_MOST_BYTES >> 20} MB is understood"})
            return None
        try:
            said = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self._say(400, {"error": "this is not a JSON object"})
            return None
        return said

    def _say(self, status: int, said: dict[str, Any]) -> None:
        self._answer(status, json.dumps(said, allow_nan=False).encode(), _JSON)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", policy())
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Says nothing of versions."""
        return "spine"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for people."""


def _marks(said: dict[str, Any]) -> dict[str, Any]:
    marks = said.get("marks")
    if not isinstance(marks, dict) or not set(marks) <= {*POINTS, LINE}:
        raise BadInput("marks are missing", "the page")
    return marks


def _has_base(content: dict[str, Any]) -> bool:
    return content["base"] is not None or None not in (content["dimple_left"], content["dimple_right"])
