"""An event as an MQTT message of QoS 1, acknowledged by the broker's PUBACK."""

from __future__ import annotations

import json
import re
import ssl
import threading
from typing import TYPE_CHECKING, Any

from falldet.watch.deliver.options import MqttOptions
from falldet.watch.deliver.target import DeliveryFailed
from suite.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_KEEP_ALIVE_S = 30
_NOT_IN_A_TOPIC = re.compile(r"[+#/\x00-\x1f]")


class MqttTarget:
    """Connects when there is something to send and stays connected.

    A connection on which anything went wrong is given up with all it holds: the outbox repeats the message on
    a new one, and nothing waits in the client's own queue. Raises BackendUnavailable without paho-mqtt.
    """

    def __init__(self, options: MqttOptions, password: str | None = None) -> None:
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError as error:
            hint = "pip install 'vision-suite[watch]'"
            raise BackendUnavailable("MQTT (package paho-mqtt)", str(error), hint) from error
        self.name = options.name
        self._options, self._password = options, password
        self._where = f"{options.host}:{options.port or (8883 if options.tls else 1883)}"
        self._tls = None
        if options.tls:
            try:
                self._tls = ssl.create_default_context(cafile=options.ca_file)
            except OSError as error:
                raise BadInput("holds no certificates that can be read", options.ca_file) from error
        self._line: _Line | None = None

    def send(self, message: dict[str, Any]) -> None:
        """Raises DeliveryFailed where the broker has not acknowledged it in time."""
        if self._line is None or not self._line.up:
            self.close()
            self._line = self._connected()
        camera = _NOT_IN_A_TOPIC.sub("-", str(message.get("camera", "")))
        topic = self._options.topic.replace("{camera}", camera)
        try:
            self._line.publish(topic, message, self._options)
        except DeliveryFailed as error:
            if not error.answered:
                self.close()
            raise DeliveryFailed(
                f"{self._where}: {error.why}", refused=error.refused, answered=error.answered
            ) from None

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _connected(self) -> _Line:
        options = self._options
        line = _Line(options.version == "5")
        if options.username is not None:
            line.client.username_pw_set(options.username, self._password)
        if self._tls is not None:
            line.client.tls_set_context(self._tls)
        host, _, port = self._where.rpartition(":")
        line.client.connect_timeout = options.timeout_s
        try:
            line.client.connect(host, int(port), _KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            reason = f"no answer within {options.timeout_s:g} s" if timed_out else _reason(error)
            raise DeliveryFailed(f"{self._where}: {reason}") from None
        line.client.loop_start()
        why = line.wait_until_up(options.timeout_s)
        if why is not None:
            line.close()
            raise DeliveryFailed(f"{self._where}: {why}")
        return line


class _Line:
    """One connection to a broker."""

    def __init__(self, version_5: bool) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self._paho = paho
        self.client: Client = paho.Client(
            CallbackAPIVersion.VERSION2,
            protocol=paho.MQTTv5 if version_5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        self.up = False
        self._version_5 = version_5
        self._refusal: str | None = None
        self._answers: dict[int, str | None] = {}  # message number -> why refused, else None
        self._change = threading.Condition()
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish

    def wait_until_up(self, timeout_s: float) -> str | None:
        """None where the broker has taken the connection, else why not."""
        with self._change:
            self._change.wait_for(lambda: self.up or self._refusal is not None, timeout_s)
            if self.up:
                return None
            return self._refusal or f"did not take the connection within {timeout_s:g} s"

    def publish(self, topic: str, message: dict[str, Any], options: MqttOptions) -> None:
        properties = None
        if self._version_5:
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties

            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = ("idempotency-key", str(message["key"]))
            properties.ContentType = "application/json"
        body = json.dumps(message, ensure_ascii=False).encode()
        self._answers.clear()
        sent = self.client.publish(topic, body, 1, options.retain, properties)
        if sent.rc != self._paho.MQTT_ERR_SUCCESS:
            raise DeliveryFailed(f"the connection broke ({self._paho.error_string(sent.rc)})".lower())
        with self._change:
            done = self._change.wait_for(lambda: sent.mid in self._answers or not self.up, options.timeout_s)
            if sent.mid not in self._answers:
                why = "the connection broke" if done else f"no PUBACK within {options.timeout_s:g} s"
                raise DeliveryFailed(why)
            refusal = self._answers.pop(sent.mid)
        if refusal is not None:
            raise DeliveryFailed(f"refused the message ({refusal})", refused=True)

    def close(self) -> None:
        self.up = False
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._change:
            self.up = not reason.is_failure
            if reason.is_failure:
                self._refusal = f"refused the connection ({str(reason).lower()})"
            self._change.notify_all()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._change:
            self.up = False
            self._refusal = self._refusal or f"closed the connection ({str(reason).lower()})"
            self._change.notify_all()

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        with self._change:
            failed = reason is not None and reason.is_failure
            self._answers[number] = str(reason).lower() if failed else None
            self._change.notify_all()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
