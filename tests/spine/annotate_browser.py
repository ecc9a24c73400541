"""The browser that the tests of the page drive."""

from __future__ import annotations

from chromium import Browser


def browser(width: int, height: int) -> Browser:
    """A headless Chromium with WebGL, a context manager; skips the test where there is none."""
    return Browser(width, height, webgl=True)
