"""An event as an HTTP POST."""

from __future__ import annotations

import http.client
import json
import math
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from falldet.watch.deliver.target import DeliveryFailed
from suite.errors import BadInput

_TRY_AGAIN = (408, 425, 429)  # of 4xx, those that say nothing about the message (RFC 9110, 8470)


class WebhookTarget:
    """POSTs JSON with an ``Idempotency-Key``; any 2xx answer acknowledges it. Redirects are not followed.

    A name and password inside the URL are sent as basic authorization and never shown. ``timeout_s`` holds
    for each step: connecting, sending, waiting for the answer.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | int = 10.0,
        ca_file: str | None = None,
    ) -> None:
        self.name = name
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "falldet"} | dict(headers or {})
        if parts.username is not None:
            who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + b64encode(who.encode()).decode()
        self._timeout_s = float(timeout_s)
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise BadInput("holds no certificates that can be read", ca_file) from error
        self._open: http.client.HTTPConnection | None = None

    def send(self, message: dict[str, Any]) -> None:
        """Raises DeliveryFailed for anything but a 2xx answer."""
        body = json.dumps(message, ensure_ascii=False).encode()
        connection = self._open = self._connection()
        try:
            connection.request(
                "POST", self._path, body, {**self._headers, "Idempotency-Key": str(message["key"])}
            )
            answer = connection.getresponse()
            status, after_s = answer.status, _after_s(answer.getheader("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryFailed(self._why(error)) from None
        finally:
            self._open = None
            connection.close()
        if 200 <= status < 300:
            return
        said = f"answered {status} {http.client.responses.get(status, '')}".rstrip()
        if 300 <= status < 400:
            raise DeliveryFailed(f"{said}: give the address it redirects to", refused=True)
        refused = 400 <= status < 500 and status not in _TRY_AGAIN
        raise DeliveryFailed(said, refused=refused, answered=True, after_s=after_s)

    def close(self) -> None:
        connection = self._open
        if connection is not None and connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for an answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)

    def _why(self, error: Exception) -> str:
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        if isinstance(error, TimeoutError):
            return f"{where}: no answer within {self._timeout_s:g} s"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{where}: its certificate is not trusted ({error.verify_message})"
        if isinstance(error, http.client.HTTPException):
            return f"{where}: did not answer as HTTP does ({type(error).__name__})"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{where}: {reason.lower()}"


def _after_s(header: str | None) -> float | None:
    """Of a Retry-After in seconds; dates are left to our own back-off."""
    try:
        seconds = float(header or "nan")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
