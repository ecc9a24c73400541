"""A camera as it is written in YAML. Light: imports no numpy."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, SecretStr, field_validator, model_validator

from falldet.events.options import ZoneOptions
from falldet.watch.streams.address import SCHEMES, Kind, kind_of, redacted, split_login, without
from suite.config import Config
from suite.errors import BadInput

Positive = Annotated[float, Field(gt=0)]
# What is written to files and pages has no credentials; the attribute itself has what the camera wants.
Source = Annotated[str, Field(min_length=1), PlainSerializer(redacted, return_type=str)]


class TimeoutOptions(Config):
    """How long a camera may be silent. These are real seconds, in compressed time too."""

    connect_s: Positive = 10.0
    """Until the first packet."""
    silent_s: Positive = 10.0
    """Between two packets, and until packets become a picture."""


class RetryOptions(Config):
    """When a lost camera is asked again: after ``first_s``, then each time twice as long, at random."""

    first_s: Positive = 1.0
    longest_s: Positive = 60.0
    refused_s: Positive = 300.0
    """After a wrong password or address: cameras lock out who asks too often."""
    steady_s: Positive = 30.0
    """A camera that gave pictures for this long is asked after ``first_s`` again."""


class CameraOptions(Config):
    """One camera, or what stands in for one. A login in the address is taken out of it at once."""

    name: Annotated[str, Field(pattern=r"^\w[\w .-]{0,63}$")]
    """Shown and used in file names, topics and addresses: letters, digits, spaces, . _ -"""
    source: Source
    """A path (video, folder of pictures, RGB-D recording), the number of a camera of this computer, or the
    address of one: rtsp://, rtsps://, http://, https://. An address of a single picture (a snapshot) is asked
    for every look; HLS (.m3u8) is played."""
    looks_per_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    username: SecretStr | None = None
    password: SecretStr | None = None
    username_env: str | None = None
    """Name of an environment variable that holds it."""
    password_env: str | None = None
    """Name of an environment variable that holds it."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Turn pictures clockwise, where a camera hangs on its side or head."""
    longest_px: Annotated[int, Field(ge=64)] = 1920
    """Pictures whose longer side is above this are made smaller."""
    rate_hz: Positive = 25.0
    """Pictures a second in a folder of them."""
    repeat: bool = False
    """Begin a file or folder anew at its end."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries pictures; over udp some get lost."""
    check_certificate: bool = False
    """Refuse rtsps:// and https:// cameras whose certificate nobody known has signed; most sign their own."""
    zones: tuple[ZoneOptions, ...] = ()
    timeouts: TimeoutOptions = TimeoutOptions()
    retry: RetryOptions = RetryOptions()

    @model_validator(mode="after")
    def _login_apart(self) -> CameraOptions:
        # Not before: what a function hands on is no JSON any more, and lists are then no tuples.
        source, username, password = split_login(self.source)
        if username is None:
            return self
        if any((self.username, self.password, self.username_env, self.password_env)):
            raise ValueError("the login is given in the address and beside it; once is enough")
        secret = None if password is None else SecretStr(password)
        for name, value in (("source", source), ("username", SecretStr(username)), ("password", secret)):
            object.__setattr__(self, name, value)  # frozen, from here on
        return self

    @field_validator("username", "password", mode="before")
    @classmethod
    def _words(cls, word: Any) -> Any:
        if word is None or isinstance(word, (str, SecretStr)):
            return word
        raise ValueError("a word of the login is no text; put it in quotes")

    @field_validator("source", mode="before")
    @classmethod
    def _number(cls, source: Any) -> Any:
        return str(source) if isinstance(source, int) and not isinstance(source, bool) else source

    @field_validator("source")
    @classmethod
    def _scheme(cls, source: str) -> str:
        scheme = source.partition("://")[0].lower() if "://" in source else None
        if scheme is not None and scheme not in SCHEMES:
            raise ValueError(f"{scheme}:// is not read; of addresses these are: {', '.join(SCHEMES)}")
        return source

    @model_validator(mode="after")
    def _once(self) -> CameraOptions:
        for word, env in ((self.username, self.username_env), (self.password, self.password_env)):
            if word is not None and env is not None:
                raise ValueError("a word of the login and its environment variable: give one of them")
        if (self.password or self.password_env) and not (self.username or self.username_env):
            raise ValueError("a password without a user name")
        return self

    @property
    def kind(self) -> Kind:
        return kind_of(self.source)

    @property
    def shown(self) -> str:
        """The source as people may see it."""
        return self.hide(self.source)

    def login(self) -> tuple[str | None, str | None]:
        """User name and password. Raises BadInput where an environment variable is not set."""
        return _word(self.username, self.username_env), _word(self.password, self.password_env)

    def hide(self, text: str) -> str:
        """``text`` without the credentials of this camera."""
        words = [w.get_secret_value() for w in (self.username, self.password) if w is not None]
        words += [os.environ.get(e, "") for e in (self.username_env, self.password_env) if e]
        return without(text, tuple(words))

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, redacted(value) if name == "source" else value


def _word(word: SecretStr | None, env: str | None) -> str | None:
    if env is None:
        return None if word is None else word.get_secret_value()
    if env not in os.environ:
        shown = env if re.fullmatch(r"[A-Z][A-Z0-9_]*", env) else "named for the login"
        raise BadInput(f"the environment variable {shown} is not set", hint="export it, or name another")
    return os.environ[env]
