"""A simulated person to annotate: a scan in a file, its session, a server in a thread, and the real fit."""

from __future__ import annotations

import functools
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from landmark_scans import scanned, skin_colors

from spine.annotate.content import Content
from spine.annotate.refit import Stage
from spine.annotate.server import AnnotateServer
from spine.annotate.session import Session, open_session
from spine.config import MeasureOptions, SpineConfig, SurfaceOptions
from spine.pipeline import reconstruct
from spine.reconstruction import Reconstruction
from spine.surface import BackSurface, load_surface
from suite.geometry.mesh import Mesh, PointCloud
from suite.geometry.mesh_io import write_ply

SEED = 503
CONFIG = SpineConfig(surface=SurfaceOptions(up="-y", facing="-z"), measure=MeasureOptions(samples=60))


@functools.cache
def scan_file() -> Path:
    """A coloured scan, m."""
    path = Path(tempfile.mkdtemp(prefix="annotate-test-")) / "back.ply"
    points = scanned(SEED).scan.cloud.points
    write_ply(path, PointCloud(points / 1000.0, skin_colors(points)))
    return path


@functools.cache
def surface() -> BackSurface:
    return load_surface(scan_file(), up=CONFIG.surface.up, facing=CONFIG.surface.facing)


@functools.cache
def found() -> Session:
    """The session that begins with what is found."""
    return open_session(surface(), CONFIG.landmarks)


@functools.cache
def _content() -> Content:
    """Its pictures, made once for all tests."""
    return Content(found())


def plain_bone(level: str) -> Mesh:
    """A box in place of a vertebra, which takes long to model."""
    corners = np.array([[x, y, z] for x in (-18.0, 18.0) for y in (-9.0, 9.0) for z in (-12.0, 30.0)])
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners, np.array([t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]), name=level)


def fit(landmarks: Path | None, stage: Stage) -> Reconstruction:
    return reconstruct(scan_file(), CONFIG, landmarks, stage)


@contextmanager
def served(session: Session, out: Path, **more: Any) -> Iterator[AnnotateServer]:
    """The server of a session, running."""
    server = AnnotateServer(session, more.pop("fit", fit), out, "back.ply", CONFIG.landmarks, **more)
    if session is found():
        server.content = _content()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)
        assert not thread.is_alive()


class Client:
    """Asks a server as a browser would; `said` of the last answer."""

    def __init__(self, server: AnnotateServer) -> None:
        self.host = server.url.split("/")[2]
        self.token = server.token

    def ask(
        self,
        path: str,
        said: Any = None,
        *,
        token: str | None = None,
        method: str | None = None,
        **headers: str,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body, headers of the answer; `said` is sent as JSON, or as it is where bytes."""
        connection = HTTPConnection(self.host, timeout=30)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        body = said if said is None or isinstance(said, bytes) else json.dumps(said).encode()
        if body is not None:
            more = {"Content-Type": "application/json"} | more
        verb = method or ("GET" if body is None else "POST")
        try:
            connection.request(verb, f"/{self.token if token is None else token}/{path}", body, more)
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    def json(self, path: str, said: Any = None) -> dict[str, Any]:
        """The answer, which is expected to be well."""
        status, body, _ = self.ask(path, said)
        assert status == 200, body
        return json.loads(body)

    def refit(self, marks: dict[str, Any] | None) -> dict[str, Any]:
        """The state in which a fit ends."""
        state = self.json("fit", {"marks": marks})
        until = time.monotonic() + 60
        while state["phase"] == "running":
            assert time.monotonic() < until, state
            time.sleep(0.05)
            state = self.json("fit")
        return state


def exact(marks: dict[str, Any]) -> dict[str, Any]:
    """Marks as the page sends them where nobody moved any."""
    said = {key: mark and {"scan": mark["scan"]} for key, mark in marks.items() if key != "spinous_line"}
    return said | {"spinous_line": [{"scan": mark["scan"]} for mark in marks["spinous_line"] or []]}


def centres(result: dict[str, Any]) -> np.ndarray:
    """Centres of the fitted vertebrae, (25, 3), mm."""
    return np.array(result["frames"]).reshape(-1, 4, 4)[:, :3, 3]
