"""A headless Chromium driven by the DevTools protocol, over pipes: real keys, mouse and fingers."""

from __future__ import annotations

import base64
import fcntl
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--force-color-profile=srgb", "--remote-debugging-pipe"),
)
_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_ANSWER_S = 120.0
_KEYS = {"Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40, "Delete": 46, "Tab": 9, "Insert": 45}  # fmt: skip
"""Windows' virtual key codes, without which some controls of the browser's own hear nothing."""


class Browser:
    """One tab; a context manager. `errors` gathers what scripts and the console complained of, `asked` what
    was requested from elsewhere. With `webgl` the processor draws 3D (SwiftShader), pages more slowly."""

    def __init__(self, width: int = 1280, height: int = 800, *flags: str, webgl: bool = False) -> None:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if found is None:
            pytest.skip("no Chromium or Chrome on this machine")
        self._folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._rest, self._number, self._session = b"", 0, ""
        read, to_write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        to_read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        self._in, self._out = to_read, to_write

        def connect() -> None:
            os.dup2(read, 3)
            os.dup2(write, 4)

        drawing = _WEBGL if webgl else ("--disable-gpu",)
        profile = f"--user-data-dir={self._folder}"
        self._process = subprocess.Popen(
            [found, *_FLAGS, *drawing, *flags, profile, f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=connect,
            pass_fds=(3, 4),
        )
        os.close(read)
        os.close(write)
        try:
            pages = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
            attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser."""
        self._number += 1
        said = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            said["sessionId"] = self._session
        data = json.dumps(said).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        until = time.monotonic() + _ANSWER_S
        while True:
            heard = self._next(until, method)
            self._note(heard)
            if heard.get("id") == self._number:
                assert "error" not in heard, f"{method}: {heard['error']}"
                return heard["result"]

    def open(self, url: str, ready: str = "document.readyState === 'complete'") -> None:
        """Go there and wait until it is ready."""
        self.call("Page.navigate", url=url)
        self.wait(ready)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 120.0) -> None:
        """Until the expression is true."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if self.value(f"Boolean({expression})"):
                    return
            except AssertionError:
                pass  # the page is changing
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; {self.errors}")

    def centre(self, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """A point of an element, by shares of its box, in the window."""
        box = self.value(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height]; })()"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def click(self, x: float, y: float) -> None:
        """A real click, as of a hand."""
        self._mouse("mouseMoved", (x, y), "none")
        self._mouse("mousePressed", (x, y), "left")
        self._mouse("mouseReleased", (x, y), "left")

    def click_on(self, selector: str) -> None:
        """Click the middle of an element."""
        self.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})")
        self.click(*self.centre(selector))

    def drag(
        self,
        *places: tuple[float, float],
        button: str = "left",
        between: Callable[[], object] = lambda: None,
    ) -> None:
        """Press at the first place, call `between`, move in steps, let go at the last."""
        self._mouse("mouseMoved", places[0], "none")
        self._mouse("mousePressed", places[0], button)
        between()
        for (x, y), (next_x, next_y) in itertools.pairwise(places):
            for share in (0.3, 0.7, 1.0):
                self._mouse("mouseMoved", (x + share * (next_x - x), y + share * (next_y - y)), button)
        self._mouse("mouseReleased", places[-1], button)

    def key(self, name: str, modifiers: int = 0) -> None:
        """Press and release a key; `modifiers` 8 is shift."""
        known = {"code": name, "windowsVirtualKeyCode": _KEYS[name]} if len(name) > 1 else {}
        text = {"text": "\r" if name == "Enter" else name} if len(name) == 1 or name == "Enter" else {}
        for kind, more in (("keyDown", known | text), ("keyUp", known)):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, modifiers=modifiers, **more)

    def touch(self, *moments: list[tuple[float, float]]) -> None:
        """Fingers come down at the first moment's places, move to those of the next ones, and go up."""
        for number, places in enumerate(moments):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
            self.call(
                "Input.dispatchTouchEvent", type="touchMove" if number else "touchStart", touchPoints=points
            )
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Of the window; a phone has denser pixels and fingers."""
        dense = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=dense,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def dark(self, wanted: bool = True) -> None:
        """The colours that the system prefers."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self) -> np.ndarray:
        """What is seen, RGB bytes."""
        from PIL import Image

        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for end in (self._in, self._out):
            os.close(end)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _mouse(self, kind: str, place: tuple[float, float], button: str) -> None:
        held = {"button": button, "buttons": {"none": 0, "left": 1, "right": 2}[button]}
        clicks = {} if kind == "mouseMoved" else {"clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **held, **clicks)

    def _next(self, until: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left = until - time.monotonic()
            assert left > 0, f"no answer to {method}"
            if select.select([self._in], [], [], left)[0]:
                data = os.read(self._in, 1 << 20)
                if not data:
                    raise RuntimeError("chromium has ended")
                self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def _note(self, said: dict[str, Any]) -> None:
        method, details = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            thrown = details["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif method == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(one.get("value", one)) for one in details["args"]))
        elif method == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            url = details["request"]["url"]
            if not url.startswith(("data:", "blob:", "file:", "about:")):
                self.asked.append(url)
