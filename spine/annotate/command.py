"""The verb: opens the session, serves the page, shows where it is, and ends with Ctrl-C."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

import click

from spine.annotate.refit import Fit
from spine.annotate.server import AnnotateServer
from spine.annotate.session import open_session
from spine.config import SpineConfig
from spine.scan import Intrinsics
from spine.surface import load_surface
from suite.errors import BadInput
from suite.progress import status

ENDING = ".landmarks.json"


def annotate(
    file: Path,
    config: SpineConfig,
    fit: Fit,
    *,
    landmarks: Path | None = None,
    out: Path | None = None,
    intrinsics: Intrinsics | None = None,
    port: int = 0,
    browser: bool = True,
) -> None:
    """Serve the page for the back in `file` until Ctrl-C; `fit` is what fits it again.

    It begins with `landmarks`, else with what an earlier session left in `out`, else with what is found.
    Saves to `out`: without it to `landmarks`, else beside the scan. Raises BadInput as the fit does.
    """
    target = out or landmarks or file.absolute().with_name(_stem(file) + ENDING)
    if target.is_dir():
        raise BadInput("is a folder", target, "name the landmarks file to write with --out")
    begin = landmarks or (target if target.is_file() else None)
    with status("Reading the surface"):
        read = config.surface
        surface = load_surface(
            file,
            units=read.units,
            up=read.up,
            facing=read.facing,
            intrinsics=intrinsics,
            depth_unit_m=read.depth_unit_m,
        )
    with status("Finding the landmarks" if begin is None else f"Reading {begin.name}"):
        session = open_session(surface, config.landmarks, begin)
    server = AnnotateServer(session, fit, target, file.absolute().name, config.landmarks, port)
    click.echo(f"The page: {server.url}")
    click.echo(f"Landmarks {'continue' if begin == target else 'are saved'} in {target}; Ctrl-C ends.")
    if browser:
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    try:
        server.serve()
    except KeyboardInterrupt:
        pass
    finally:
        server.close_port()
    click.echo(f"\nSaved: {target}" if server.saved else "\nNothing was saved.")


def _stem(file: Path) -> str:
    file = file.absolute()
    return file.name if file.is_dir() else file.stem
