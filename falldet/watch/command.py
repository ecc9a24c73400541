"""`falldet watch`: a configuration or one source, watched in the foreground until somebody ends it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from falldet.watch.config import WatchConfig
from falldet.watch.deliver.build import secrets_of
from falldet.watch.lines import Lines
from falldet.watch.log import Log, Say
from falldet.watch.page.options import PageOptions
from falldet.watch.streams.address import host_of, kind_of, split_login
from suite.config import Loaded, load_config
from suite.config.references import escape
from suite.config.scalars import format_scalar
from suite.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    from falldet.detections import Detecting
    from falldet.watch.page.server import PageServer
    from falldet.watch.page.view import Watched


def load_watch(given: str, settings: Sequence[str] = ()) -> Loaded[WatchConfig]:
    """The configuration in a YAML file, or for anything else one camera with that source; then settings.

    Raises ConfigError with all that is wrong, none of it showing a login.
    """
    if Path(given).suffix.lower() in (".yaml", ".yml"):
        return load_config(WatchConfig, given, settings)
    try:
        source, username, password = split_login(given)
    except ValueError as error:
        raise BadInput(str(error), "source") from None
    named = {"name": _name(source), "source": source}
    camera = ", ".join(f"{key}: {format_scalar(escape(value))}" for key, value in named.items())
    loaded = load_config(WatchConfig, None, [f"cameras=[{{{camera}}}]", *settings])
    if username is None:
        return loaded
    first, *others = loaded.config.cameras
    login = {"username": SecretStr(username), "password": None if password is None else SecretStr(password)}
    cameras = (first.model_copy(update=login), *others)
    return Loaded(loaded.config.model_copy(update={"cameras": cameras}), loaded.origins)


def run_watch(config: WatchConfig) -> int:
    """Watch until a signal ends it or all recordings were played; the exit code.

    A first SIGTERM or Ctrl-C ends it in good order, and the code is then 0: that is how a watch ends.
    """
    from falldet.watch.watch import Watch
    from falldet.watch.watched import OnPage
    from suite.engine.interrupts import Interrupts

    if config.page.on:
        page_token(config.page)  # what is missing is told before the detector is read
    lines = Lines()
    people = sys.stderr.isatty() or config.log is not None
    log: Say = Log(config.log, secrets=_secrets(config)) if config.log or not people else lines
    model = open_detector(config)
    with Interrupts() as interrupts:
        watch = Watch(config, model, say=log, tell=lines.fall if people else None)
        page, health = None, {}
        try:
            if config.page.on:
                page = open_page(OnPage(watch), config.page)
                page.start()
            watch.start()
            names = ", ".join(watch.cameras)
            log("watching", cameras=names, model=config.model, page=None if page is None else page.url)
            watch.run(lambda: bool(interrupts.signal_number))
        finally:
            if page is not None:
                page.stop()
            health = watch.stop()
    log("ended", line=health["line"])
    played = any(one["state"] == "ended" or one["looks"] for one in health["cameras"].values())
    return 0 if interrupts.signal_number or played else 1


def open_detector(config: WatchConfig) -> Detecting:
    """The detector, on as many threads as it may have, looking at pictures of the size that suits it."""
    import torch

    from falldet.events.thresholds import decision
    from falldet.model.file import sized
    from falldet.models import open_model

    torch.set_num_threads(config.threads)
    model = open_model(config.model, config.device)
    if config.long_px is not None:
        return sized(model, config.long_px)
    return sized(model, decision(config.events, config.model, model.card).long_px)


def page_token(options: PageOptions) -> str | None:
    """The token, where one is asked for. Raises BadInput where the environment has none."""
    if options.token_env is None:
        return None
    token = os.environ.get(options.token_env)
    if not token:
        raise BadInput(f"the environment variable {options.token_env} is not set", "page.token_env")
    return token


def open_page(watched: Watched, options: PageOptions) -> PageServer:
    """The page, not yet started. Raises BadInput where its token is not there, BackendUnavailable without
    aiohttp."""
    token = page_token(options)
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        hint = "install the extra vision-suite[watch], or set page.on=false"
        raise BackendUnavailable("aiohttp", str(error), hint) from error
    from falldet.watch.page.server import PageServer

    blur = None
    if options.blur_people:
        from falldet.watch.blur import blurred as blur
    return PageServer(watched, options, token, blur)


def _secrets(config: WatchConfig) -> tuple[str, ...]:
    token = os.environ.get(config.page.token_env or "", "")
    logins = [word for camera in config.cameras for word in camera.login() if word]
    return tuple(word for word in (*secrets_of(config.targets), token, *logins) if len(word) >= 6)


def _name(source: str) -> str:
    """What a source is called: the host of an address, the stem of a path."""
    kind = kind_of(source)
    word = {"network": host_of(source), "webcam": f"camera {source}"}.get(kind) or Path(source).resolve().stem
    return re.sub(r"[^\w .-]+", "-", word)[:60].strip(" .-") or "camera"
