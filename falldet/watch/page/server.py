"""The page's server: its own thread with its own loop, so that no viewer ever holds up the watch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

from falldet.watch.page.document import login_page, page, policy
from falldet.watch.page.guard import Guard
from falldet.watch.page.live import Live, camera_of, width_of
from falldet.watch.page.options import PageOptions, is_loopback
from falldet.watch.page.pictures import Blur, Pictures
from falldet.watch.page.view import Watched
from suite.errors import BadInput, SuiteError

_MOST_BYTES = 64 * 1024  # of a request
_MOST_EVENTS = 500
_SHORTEST_TOKEN = 16
_EVENT = re.compile(r"[A-Za-z0-9_-]{1,120}")
_START_S, _STOP_S = 10.0, 5.0


class PageServer:
    """Serves the live page of ``watched`` from `start` to `stop`; ``url`` is where.

    Raises BadInput for a token that is missing or short where one is needed, and where the address is taken.
    """

    def __init__(
        self, watched: Watched, options: PageOptions, token: str | None = None, blur: Blur | None = None
    ) -> None:
        if token is None and not is_loopback(options.host):
            hint = "name the environment variable that holds one (page.token_env)"
            raise BadInput(f"the page on {options.host} needs a token", "page", hint)
        if token is not None and len(token) < _SHORTEST_TOKEN:
            hint = f"take at least {_SHORTEST_TOKEN} characters, such as those of `openssl rand -hex 16`"
            raise BadInput(f"the token is short ({len(token)} characters)", "page", hint)
        self._watched, self._options, self._token = watched, options, token
        self._pictures = Pictures(blur)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._ready = threading.Event()
        self._refused: OSError | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where a browser of this computer finds the page."""
        host = self._options.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise SuiteError("the page did not start")
        if self._refused is not None:
            place = f"{self._options.host}:{self._options.port}"
            reason = (self._refused.strerror or str(self._refused)).lower()
            hint = "choose another page.host or page.port; port 0 takes a free one"
            raise BadInput(f"cannot be listened on ({reason})", f"page {place}", hint)

    def stop(self) -> None:
        """Let go of all viewers."""
        if self._stop is not None:
            with contextlib.suppress(RuntimeError):  # has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        live = Live(self._watched, self._pictures)
        app = application(self._watched, live, self._token, self._options.names)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._options.host, self._options.port)
            await site.start()
        except OSError as error:
            self._refused = error
            await runner.cleanup()
            return
        self.port = int(runner.addresses[0][1])
        self._ready.set()
        await self._stop.wait()
        await live.close()
        await runner.cleanup()


def application(watched: Watched, live: Live, token: str | None, names: tuple[str, ...]) -> web.Application:
    """All addresses, behind the guard."""
    guard = Guard(token, names, policy, login_page())
    app = web.Application(middlewares=[_plain_errors, guard.middleware], client_max_size=_MOST_BYTES)
    app.on_response_prepare.append(guard.add_headers)
    api = _Api(watched, live)
    app.router.add_get("/", api.page)
    app.router.add_get("/live", live.socket)
    app.router.add_get("/cameras/{camera}/stream", live.mjpeg)
    app.router.add_get("/cameras/{camera}/shot.jpg", api.shot)
    app.router.add_get("/api/cameras", api.cameras)
    app.router.add_get("/api/events", api.events)
    app.router.add_put("/api/zones/{camera}", api.put_zones)
    app.router.add_get("/health", api.health)
    app.router.add_get("/metrics", api.metrics)
    app.router.add_get("/clips/{event}.mp4", api.clip)
    return app


@web.middleware
async def _plain_errors(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """What is wrong in one line; what we did not foresee shows no more than that it happened."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except (ConnectionError, asyncio.CancelledError):
        raise
    except SuiteError as error:
        return web.json_response({"error": str(error)}, status=400 if isinstance(error, BadInput) else 503)
    except OSError as error:
        return web.json_response({"error": (error.strerror or "cannot be done").lower()}, status=503)


class _Api:
    def __init__(self, watched: Watched, live: Live) -> None:
        self._watched, self._live = watched, live
        self._page = page()

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html")

    async def shot(self, request: web.Request) -> web.Response:
        camera, width_px = camera_of(request, self._watched), width_of(request)
        look = self._watched.look(camera)
        if look is None:
            raise web.HTTPServiceUnavailable(text="no picture yet\n")
        jpeg = await self._live.drawn(camera, look, width_px)
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def cameras(self, _: web.Request) -> web.Response:
        found = [{"name": name, "zones": self._watched.zones(name)} for name in self._watched.cameras]
        return web.json_response({"cameras": found})

    async def events(self, request: web.Request) -> web.Response:
        given = request.query.get("limit", "50")
        if not given.isascii() or not given.isdecimal() or not 1 <= len(given) <= 4:
            raise web.HTTPBadRequest(text="limit is a number\n")
        camera = request.query.get("camera")
        if camera is not None and camera not in self._watched.cameras:
            raise web.HTTPNotFound(text="there is no such camera\n")
        limit = min(max(int(given), 1), _MOST_EVENTS)
        found = await asyncio.to_thread(self._watched.events, limit, camera)
        return web.json_response({"events": found})

    async def put_zones(self, request: web.Request) -> web.Response:
        camera = camera_of(request, self._watched)
        if request.content_type != "application/json":  # no form of another page can send that
            raise web.HTTPUnsupportedMediaType(text="send application/json\n")
        try:
            body = json.loads(await request.text())
        except (ValueError, UnicodeDecodeError, RecursionError):
            raise BadInput("is not JSON", "zones") from None
        zones = body.get("zones") if isinstance(body, dict) else None
        if not isinstance(zones, list) or not all(isinstance(zone, dict) for zone in zones):
            raise BadInput('is no {"zones": [{"name": ..., "polygon": [[x, y], ...]}, ...]}', "zones")
        await asyncio.to_thread(self._watched.set_zones, camera, zones)
        return web.json_response({"zones": self._watched.zones(camera)})

    async def health(self, _: web.Request) -> web.Response:
        found = await asyncio.to_thread(self._watched.health)
        return web.json_response(found, status=200 if found.get("state") == "ok" else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        text = await asyncio.to_thread(self._watched.metrics)
        return web.Response(
            body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def clip(self, request: web.Request) -> web.StreamResponse:
        event, found = request.match_info["event"], None
        if _EVENT.fullmatch(event):  # an id, and never the way to a file
            found = await asyncio.to_thread(self._watched.clip, event)
        if found is None:
            raise web.HTTPNotFound(text="there is no such clip\n")
        return web.FileResponse(found, headers={"Content-Type": "video/mp4"})
