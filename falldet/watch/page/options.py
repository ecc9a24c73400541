"""Settings of the live page. Light."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, model_validator

from suite.config import Config


class PageOptions(Config):
    """Where the live page is served, and who may see it."""

    on: bool = True
    """Whether there is a page at all."""
    host: str = "127.0.0.1"
    """Address to listen on. Another than this computer's own needs a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """0 takes any free port, which is told at the start."""
    token_env: str | None = None
    """Environment variable that holds the token: whoever has it sees the page."""
    names: tuple[str, ...] = ()
    """Names, such as `watch.ward.lan`, by which browsers reach the page; numeric addresses always work."""
    blur_people: bool = False
    """Blur everybody on the page, as clips may be."""

    @model_validator(mode="after")
    def _check(self) -> PageOptions:
        if self.on and not is_loopback(self.host) and self.token_env is None:
            raise ValueError(
                f"a page on {self.host} can be seen by others: name the environment variable of a token "
                "(token_env), or take host: 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
