"""Moving pictures out: one WebSocket a page for all cameras, and MJPEG for other programs.

A browser opens six connections to a host and no more, so eight MJPEG tiles would leave none for anything
else; a WebSocket is not counted. Whoever is slow gets fewer pictures, never older ones: the next picture of a
camera is sent when the one before was acknowledged, and it is then the newest.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from aiohttp import WSMsgType, web

from falldet.watch.page.pictures import Pictures
from falldet.watch.page.view import Look, Watched

_LOOK_S = 0.05  # how often it is asked whether there is a newer picture
_STATE_S = 1.0
_HEARTBEAT_S = 20.0
_STALLED_S = 10.0  # an acknowledgement that takes longer was lost
_MOST_VIEWERS = 24
_BOUNDARY = "falldet-picture"


class Live:
    """Serves `socket` (the page) and `mjpeg` (anybody)."""

    def __init__(self, watched: Watched, pictures: Pictures) -> None:
        self._watched, self._pictures = watched, pictures
        self._viewers: set[web.StreamResponse] = set()
        self._closing = False

    async def close(self) -> None:
        """End all streams."""
        self._closing = True
        for viewer in list(self._viewers):
            if isinstance(viewer, web.WebSocketResponse):
                await viewer.close(code=1001, message=b"the watch ends")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Text out: ``{"health", "changes"}``. Binary out: the length of a JSON head (4 bytes, big-endian),
        the head ``{"camera", "number", "unix_s", "size_px", "people"}``, a JPEG. Text in: ``{"watch":
        {camera: width_px}}`` chooses, ``{"got": camera}`` acknowledges."""
        self._refuse_crowds()
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=16_384, compress=False)
        await socket.prepare(request)
        self._viewers.add(socket)
        viewer = _Viewer()
        sender = asyncio.create_task(self._send(socket, viewer))
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT or not viewer.hear(message.data, self._watched.cameras):
                    await socket.close(code=1003, message=b"not understood")
                    break
        finally:
            sender.cancel()
            self._viewers.discard(socket)
        return socket

    async def mjpeg(self, request: web.Request) -> web.StreamResponse:
        """Boxes and zones are drawn, in pictures of the query's ``width`` px, 1280 without."""
        camera, width_px = camera_of(request, self._watched), width_of(request)
        self._refuse_crowds()
        response = web.StreamResponse(
            headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}"}
        )
        await response.prepare(request)
        self._viewers.add(response)
        sent = -1
        try:
            while not self._closing:
                look = self._watched.look(camera)
                if look is None or look.number == sent:
                    await asyncio.sleep(_LOOK_S)
                    continue
                jpeg = await self.drawn(camera, look, width_px)
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                await response.write(head.encode() + jpeg + b"\r\n")
                sent = look.number
        finally:
            self._viewers.discard(response)
        return response

    async def drawn(self, camera: str, look: Look, width_px: int) -> bytes:
        """A JPEG with boxes and zones."""
        zones = self._watched.zones(camera)
        return await asyncio.to_thread(self._pictures.jpeg, camera, look, width_px, zones)

    async def _send(self, socket: web.WebSocketResponse, viewer: _Viewer) -> None:
        loop = asyncio.get_running_loop()
        told_s = -_STATE_S
        while not socket.closed:
            now_s = loop.time()
            if now_s - told_s >= _STATE_S:
                health = await asyncio.to_thread(self._watched.health)
                state = {"health": health, "changes": self._watched.changes}
                await socket.send_str(json.dumps(state))
                told_s = now_s
            for camera, width_px in list(viewer.wanted.items()):
                look = self._watched.look(camera)
                if look is None or not viewer.ready(camera, look.number, now_s):
                    continue
                jpeg = await asyncio.to_thread(self._pictures.jpeg, camera, look, width_px)
                viewer.waiting[camera] = loop.time()
                viewer.sent[camera] = look.number
                await socket.send_bytes(_packed(camera, look, jpeg))
            await asyncio.sleep(_LOOK_S)

    def _refuse_crowds(self) -> None:
        if self._closing or len(self._viewers) >= _MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{_MOST_VIEWERS} others look already\n")


class _Viewer:
    """What one page wants, has, and has not acknowledged."""

    def __init__(self) -> None:
        self.wanted: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.waiting: dict[str, float] = {}

    def hear(self, text: str, cameras: tuple[str, ...]) -> bool:
        """Whether the message was understood."""
        try:
            said = json.loads(text)
        except ValueError:
            return False
        if not isinstance(said, dict):
            return False
        wanted = said.get("watch")
        if isinstance(wanted, dict):
            found = {name: width for name, width in wanted.items() if name in cameras}
            if not all(isinstance(width, int) for width in found.values()):
                return False
            for name in [name for name in found if found[name] != self.wanted.get(name)]:
                self.sent.pop(name, None)  # the same picture again, in its new size
            self.wanted = found
        got = said.get("got")
        if isinstance(got, str):
            self.waiting.pop(got, None)
        return True

    def ready(self, camera: str, number: int, now_s: float) -> bool:
        """Whether picture ``number`` is to be sent now."""
        if self.sent.get(camera) == number:
            return False
        return now_s - self.waiting.get(camera, -_STALLED_S) >= _STALLED_S


def camera_of(request: web.Request, watched: Watched) -> str:
    """The camera that the address names. Raises 404 where there is none."""
    name = request.match_info["camera"]
    if name not in watched.cameras:
        raise web.HTTPNotFound(text="there is no such camera\n")
    return name


def width_of(request: web.Request) -> int:
    """The width asked for, in px."""
    given = request.query.get("width", "1280")
    if not given.isascii() or not given.isdecimal() or not 1 <= len(given) <= 5:
        raise web.HTTPBadRequest(text="width is a number of pixels\n")
    return int(given)


def _packed(camera: str, look: Look, jpeg: bytes) -> bytes:
    people: list[dict[str, Any]] = [
        {
            "track": person.track,
            "box": [round(float(edge), 1) for edge in person.box_px],
            "fallen": round(float(person.fallen), 3),
            "state": person.state,
        }
        for person in look.people
    ]
    head = {
        "camera": camera,
        "number": look.number,
        "unix_s": look.unix_s,
        "size_px": look.size_px,
        "people": people,
    }
    encoded = json.dumps(head).encode()
    return struct.pack(">I", len(encoded)) + encoded + jpeg
