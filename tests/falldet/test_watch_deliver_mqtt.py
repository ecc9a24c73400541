"""MQTT against Debian's mosquitto: acknowledged by PUBACK, through kills, restarts, refusals and silence."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from watch_falls import Said, fall, until

from benchmarks._watch_receivers import Broker, Subscriber, certificate, free_port
from falldet.watch.clock import SimulatedClock
from falldet.watch.deliver.build import build_targets
from falldet.watch.deliver.options import MqttOptions
from falldet.watch.deliver.outbox import Outbox
from falldet.watch.deliver.target import DeliveryFailed
from falldet.watch.store import Store

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra watch)")
needs_broker = pytest.mark.skipif(
    Broker.program() is None, reason="mosquitto is not installed (Debian: mosquitto)"
)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Starts brokers, none of which outlives the test."""
    started: list[Broker] = []

    def start(**how: Any) -> Broker:
        started.append(Broker(tmp_path / f"broker{len(started)}", **how))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def broker(brokers: Callable[..., Broker]) -> Broker:
    return brokers()


def message(number: int) -> dict:
    event = fall(number, "ward/1 + 2")
    return event.as_dict() | {"key": f"{event.id}:{event.state}"}


@needs_broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_message_arrives_under_its_cameras_topic(broker: Broker, version: Literal["5", "3.1.1"]):
    subscriber = Subscriber(broker.port)
    (target,) = build_targets([MqttOptions(host="127.0.0.1", port=broker.port, version=version)])
    for number in range(3):
        target.send(message(number))
    assert until(lambda: len(subscriber.keys) == 3)
    topic, body = subscriber.messages[0]
    assert topic == "falldet/ward-1 - 2"  # one level, no wildcards
    assert body == message(0)
    target.close()
    subscriber.close()


@needs_broker
def test_a_killed_broker_costs_no_event(broker: Broker, tmp_path: Path):
    said, clock = Said(), SimulatedClock(20)
    targets = build_targets([MqttOptions(host="127.0.0.1", port=broker.port, timeout_s=2)])
    store = Store(tmp_path / "events.db", ["mqtt"], say=said)
    outbox = Outbox(store, targets, clock, say=said)
    outbox.start()
    subscriber = Subscriber(broker.port)

    def tell(*numbers: int) -> None:
        for number in numbers:
            store.record(fall(number))
            outbox.wake()

    tell(0, 1)
    assert until(lambda: len(subscriber.keys) == 2)
    for first in (2, 4):
        broker.write_down()  # the subscriber's session is the broker's own to keep
        broker.kill()
        tell(first, first + 1)
        assert until(lambda: outbox.health()["mqtt"].why is not None)
        broker.start()
        assert until(lambda: store.waiting_for() == {"mqtt": 0})
        told = set(range(first + 2))
        assert until(lambda told=told: {int(key[5:11]) for key in subscriber.keys} == told)
    outbox.stop()
    subscriber.close()
    assert len(said.of("target_works_again")) == 2
    assert store.waiting_for() == {"mqtt": 0}
    store.close()


@needs_broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password_is_one_line_without_it(
    brokers: Callable[..., Broker], version: Literal["5", "3.1.1"]
):
    broker = brokers(password="right horse")
    options = MqttOptions(
        host="127.0.0.1", port=broker.port, username="falldet", password_env="WORD", version=version
    )
    (wrong,) = build_targets([options], {"WORD": "battery staple"})
    with pytest.raises(DeliveryFailed) as failure:
        wrong.send(message(1))
    assert "refused the connection (" in failure.value.why and "auth" in failure.value.why
    assert "staple" not in failure.value.why and not failure.value.answered
    subscriber = Subscriber(broker.port, username="falldet", password="right horse")
    (right,) = build_targets([options], {"WORD": "right horse"})
    right.send(message(2))
    assert until(lambda: len(subscriber.keys) == 1)
    for one in (wrong, right, subscriber):
        one.close()


@needs_broker
def test_a_topic_one_may_not_write_to_is_a_refusal(brokers: Callable[..., Broker]):
    broker = brokers(acl="topic write allowed/#\n")
    address = {"host": "127.0.0.1", "port": broker.port}
    (forbidden,) = build_targets([MqttOptions(topic="forbidden", **address)])
    with pytest.raises(DeliveryFailed, match="refused the message") as failure:
        forbidden.send(message(1))
    assert failure.value.refused
    (allowed,) = build_targets([MqttOptions(topic="allowed/falls", **address)])
    allowed.send(message(1))
    forbidden.close()
    allowed.close()


@needs_broker
def test_a_brokers_certificate_must_be_trusted_or_named(brokers: Callable[..., Broker], tmp_path: Path):
    pair = certificate(tmp_path)
    if pair is None:
        pytest.skip("openssl is not installed")
    broker = brokers(tls=pair)
    address = {"host": "127.0.0.1", "port": broker.port, "tls": True}
    (strange,) = build_targets([MqttOptions(**address)])
    with pytest.raises(DeliveryFailed, match="certificate"):
        strange.send(message(1))
    (named,) = build_targets([MqttOptions(ca_file=str(pair[0]), **address)])
    named.send(message(1))
    for one in (strange, named):
        one.close()


def test_nobody_a_stranger_and_silence_are_one_line_each():
    (nobody,) = build_targets([MqttOptions(host="127.0.0.1", port=free_port())])
    with pytest.raises(DeliveryFailed, match="connection refused"):
        nobody.send(message(1))
    silent = socket.create_server(("127.0.0.1", 0))
    (waiting,) = build_targets([MqttOptions(host="127.0.0.1", port=silent.getsockname()[1], timeout_s=0.3)])
    with pytest.raises(DeliveryFailed, match=r"did not take the connection within 0\.3 s"):
        waiting.send(message(1))
    silent.close()
