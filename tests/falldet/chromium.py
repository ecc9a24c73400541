"""A headless Chromium that a test drives through the DevTools protocol, with real key and mouse events."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-port=0"),
)
_START_S, _ANSWER_S = 30.0, 20.0


class Browser:
    """One tab; a context manager. ``errors`` gathers what scripts and the console complained of."""

    def __init__(self, width: int = 1280, height: int = 800) -> None:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if found is None:
            pytest.skip("no chromium on this machine")
        self._folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        command = [found, *_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._folder}"]
        self._process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._loop.run_until_complete(self._attach())
        except BaseException:
            self.close()
            raise
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), _ANSWER_S))

    def open(self, url: str) -> None:
        """Go there."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 15.0) -> None:
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

    def mouse(self, kind: str, x: float, y: float) -> None:
        """`mouseMoved`, `mousePressed` or `mouseReleased`."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x: float, y: float) -> None:
        """A real click, as of a hand."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def click_on(self, selector: str) -> None:
        """Click the middle of an element."""
        self.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})")
        self.click(*self.centre(selector))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move in steps, let go."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start)
        for step in (0.3, 0.7, 1.0):
            self.mouse("mouseMoved", *(a + step * (b - a) for a, b in zip(start, end, strict=True)))
        self.mouse("mouseReleased", *end)

    def key(self, name: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **more
            )

    def phone(self, width: int = 390, height: int = 844) -> None:
        """Seem to be one."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    def dark(self, wanted: bool = True) -> None:
        """The colours that the system prefers."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        """What is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        if not self._loop.is_closed():
            if hasattr(self, "_session"):
                self._loop.run_until_complete(self._session.close())
            self._loop.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _attach(self) -> None:
        until = time.monotonic() + _START_S
        told = self._folder / "DevToolsActivePort"
        while not (told.is_file() and told.read_text().count("\n")):
            assert self._process.poll() is None, "chromium ended at its start"
            assert time.monotonic() < until, "chromium did not start"
            await asyncio.sleep(0.05)
        port = told.read_text().split("\n")[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as response:
            tabs = [tab for tab in await response.json() if tab["type"] == "page"]
        self._socket = await self._session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0)

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json()
            self._note(said)
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]

    def _note(self, said: dict[str, Any]) -> None:
        method, details = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            thrown = details["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif method == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(one.get("value", one)) for one in details["args"]))
        elif method == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
