"""Who is told of events in tests and benchmarks: a web server and Debian's MQTT broker, to be killed at will.

Run as a script, `python _watch_receivers.py PORT FILE`, the web server alone: it needs no part of the suite.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[dict[str, Any]], "int | None"]
"""Message -> status; None breaks the connection without an answer."""


class Receiver:
    """A web server on loopback that notes each request before it answers.

    ``heard`` holds (key, message, headers) of all requests that were answered with 2xx, with repetitions;
    ``asked`` counts all requests.
    """

    def __init__(self, answer: Answer | None = None, port: int = 0, file: Path | None = None) -> None:
        self.heard: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.asked = 0
        self.answer: Answer = answer or (lambda message: 204)
        self._file = file
        self.port = port
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/falls?house=1"

    @property
    def keys(self) -> list[str]:
        return [key for key, *_ in self.heard]

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                message = json.loads(body)
                status = receiver.answer(message)
                if status is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if 200 <= status < 300:
                    receiver.note(self.headers["Idempotency-Key"], message, dict(self.headers.items()))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def note(self, key: str, message: dict[str, Any], headers: dict[str, str]) -> None:
        if self._file is None:
            self.heard.append((key, message, headers))
            return
        line = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(line, (key + "\n").encode())
        os.close(line)

    def stop(self) -> None:
        """Nobody listens any more; `start` takes the same port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class ReceiverProcess:
    """A `Receiver` in a process of its own, which can be killed; keys are in ``file``, one a line."""

    def __init__(self, file: Path) -> None:
        self.file, self.port = file, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/falls"

    def start(self) -> None:
        command = [sys.executable, "-S", "-E", __file__, str(self.port), str(self.file)]
        self._process = subprocess.Popen(command)
        until_open(self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def keys(self) -> list[str]:
        return self.file.read_text().split() if self.file.exists() else []


class Broker:
    """Debian's mosquitto on loopback; ``password`` asks for the user `falldet`, ``acl`` lists who may write,
    ``tls`` names its certificate and key.

    Sessions survive `stop`; and `kill` as they were at the last `write_down`.
    """

    def __init__(
        self,
        folder: Path,
        password: str | None = None,
        acl: str | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
        if os.geteuid() == 0:
            lines.append("user root")
        if tls is not None:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if acl is not None:
            (folder / "acl").write_text(acl)
            lines.append(f"acl_file {folder}/acl")
        if password is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {folder}/passwords"]
            make = ["mosquitto_passwd", "-b", "-c", str(folder / "passwords"), "falldet", password]
            subprocess.run(make, check=True, capture_output=True)
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()

    @staticmethod
    def program() -> str | None:
        """Where mosquitto is, None where it is not installed."""
        return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def start(self) -> None:
        command = [self.program() or "mosquitto", "-c", str(self._folder / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_open(self.port)

    def write_down(self) -> None:
        """Sessions and what waits in them, to the disk."""
        file = self._folder / "mosquitto.db"
        before = file.stat().st_ino if file.exists() else None
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)
        end_s = time.monotonic() + 5
        while (not file.exists() or file.stat().st_ino == before) and time.monotonic() < end_s:
            time.sleep(0.01)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Subscriber:
    """Hears all of a topic, QoS 1, in a session that outlives connections; ``keys`` as they came."""

    def __init__(self, port: int, topic: str = "#", **login: str) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.keys: list[str] = []
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="who-is-told",
            clean_session=False,
            protocol=paho.MQTTv311,
        )
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        subscribed = threading.Event()
        self._client.reconnect_delay_set(0.05, 0.1)  # pyright: ignore[reportArgumentType]  # floats do
        self._client.on_connect = lambda client, *_: ignored(client.subscribe(topic, 1))
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        assert subscribed.wait(5), "the broker took no subscription"

    def _heard(self, client: Any, data: Any, message: Any) -> None:
        body = json.loads(message.payload)
        self.keys.append(body["key"])
        self.messages.append((message.topic, body))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def ignored(_: object) -> None:
    """For callbacks, which return nothing."""


def certificate(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for 127.0.0.1 that nobody has signed but itself, and its key; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=house",
        "-keyout",
        str(key),
        "-out",
        str(cert),
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until_open(port: int, seconds: float = 10.0) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


if __name__ == "__main__":
    Receiver(port=int(sys.argv[1]), file=Path(sys.argv[2]))
    threading.Event().wait()
