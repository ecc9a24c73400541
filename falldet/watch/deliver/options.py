"""Who is told of an event, and how, as it is written in YAML. Light: imports nothing that sends."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from suite.config import Config

Name = Annotated[str, Field(min_length=1, max_length=60)]
Seconds = Annotated[float, Field(gt=0)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class RetryOptions(Config):
    """How long to wait before the next attempt. Nothing is ever given up."""

    first_s: Seconds = 1.0
    """After the first failure; doubled with each further one ..."""
    most_s: Seconds = 60.0
    """... up to this."""
    refused_s: Seconds = 3600.0
    """What a target refuses for good (an HTTP 400, say) is tried again this seldom, and after a restart."""

    @model_validator(mode="after")
    def _in_order(self) -> RetryOptions:
        if self.first_s > self.most_s:
            raise ValueError("first_s is more than most_s")
        return self


class WebhookOptions(Config):
    """An HTTP POST of the event's JSON, repeated with the same Idempotency-Key until a 2xx answer."""

    type: Literal["webhook"] = "webhook"
    name: Name = "webhook"
    url: str
    """http:// or https://; a password belongs into ``headers_env``."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with each request."""
    headers_env: dict[str, Variable] = Field(default_factory=dict)
    """Header -> environment variable that holds its value, for what is secret."""
    timeout_s: Seconds = 10.0
    ca_file: str | None = None
    """Certificates to trust, where the server's is not signed by a public authority."""

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("the address must be like https://host/path")
        return url

    @field_validator("headers", "headers_env")
    @classmethod
    def _one_line(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, value in headers.items():
            if not header.replace("-", "").replace("_", "").isalnum() or any(c in value for c in "\r\n"):
                raise ValueError(f"{header!r} cannot be a header")
        return headers


class MqttOptions(Config):
    """A message of the event's JSON to an MQTT broker, QoS 1: repeated until the broker acknowledges it."""

    type: Literal["mqtt"] = "mqtt"
    name: Name = "mqtt"
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """1883, or 8883 with TLS, where it is null."""
    topic: Annotated[str, Field(min_length=1, max_length=200)] = "falldet/{camera}"
    """``{camera}`` stands for the camera's name."""
    version: Literal["5", "3.1.1"] = "5"
    """Of the protocol. Brokers of version 3.1.1 acknowledge also what they do not let through."""
    retain: bool = False
    """Let the broker keep the latest event for those who subscribe later."""
    username: str | None = None
    password_env: Variable | None = None
    """The environment variable that holds the password."""
    tls: bool = False
    ca_file: str | None = None
    timeout_s: Seconds = 10.0

    @field_validator("topic")
    @classmethod
    def _to_write_to(cls, topic: str) -> str:
        if any(mark in topic for mark in "+#\0"):
            raise ValueError("a topic to write to holds no + or #")
        return topic


TargetOptions = Annotated[WebhookOptions | MqttOptions, Field(discriminator="type")]
