"""Deliveries: repeated until acknowledged, under one key; a target that is slow or gone hinders nobody."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from watch_falls import Said, ended, fall, until

from benchmarks._watch_receivers import Receiver, certificate, free_port
from falldet.watch.clock import SimulatedClock
from falldet.watch.deliver.build import build_targets, secrets_of
from falldet.watch.deliver.options import MqttOptions, RetryOptions, WebhookOptions
from falldet.watch.deliver.outbox import Outbox
from falldet.watch.deliver.target import DeliveryFailed
from falldet.watch.deliver.webhook import WebhookTarget
from falldet.watch.store import Store
from suite.errors import BadInput

SPEED = 50.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.stop()


class House:
    """A store with an outbox on a clock that runs 50 times as fast."""

    def __init__(self, folder: Path, *targets: WebhookTarget, retry: RetryOptions | None = None) -> None:
        self.said, self.clock = Said(), SimulatedClock(SPEED)
        self.store = Store(folder / "events.db", [target.name for target in targets], say=self.said)
        self.outbox = Outbox(self.store, targets, self.clock, say=self.said, options=retry)
        self.outbox.start()

    def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.store.record(fall(number))
            self.outbox.wake()

    def close(self) -> None:
        self.outbox.stop()
        self.store.close()


def key(number: int, state: str = "confirmed") -> str:
    return f"hall-{number:06d}:{state}"


def test_a_webhook_gets_the_event_as_json_with_its_key_and_our_headers(tmp_path: Path, receiver: Receiver):
    url = receiver.url.replace("://", "://anna:s%40fe@")
    house = House(tmp_path, WebhookTarget("web", url, {"X-House": "elm"}))
    house.store.record(fall(1), {"clip": "hall-000001.mp4"})
    house.outbox.wake()
    assert until(lambda: len(receiver.heard) == 1)
    name, message, headers = receiver.heard[0]
    assert name == message["key"] == key(1)
    assert message["camera"] == "hall" and message["clip"] == "hall-000001.mp4"
    assert message["onset"] == "2026-09-21T14:13:30.000Z"
    assert headers["Content-Type"] == "application/json" and headers["X-House"] == "elm"
    assert headers["Authorization"] == "Basic YW5uYTpzQGZl"  # anna:s@fe
    assert until(lambda: house.store.waiting_for() == {"web": 0})
    house.close()
    assert "s@fe" not in str(house.said.lines) and "s%40fe" not in str(house.said.lines)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, None])
def test_what_may_pass_is_tried_again_until_it_does(tmp_path: Path, receiver: Receiver, status: int | None):
    left = [status, status]
    receiver.answer = lambda message: left.pop() if left else 202
    house = House(tmp_path, WebhookTarget("web", receiver.url))
    house.tell(1)
    assert until(lambda: receiver.keys == [key(1)])
    assert receiver.asked == 3
    assert until(lambda: house.outbox.health()["web"].delivered == 1)
    health = house.outbox.health()["web"]
    assert (health.why, health.failures, health.waiting) == (None, 2, 0)
    assert [line["tries"] for line in house.said.of("delivery_fails")] == [1]  # the same reason is said once
    assert len(house.said.of("target_works_again")) == 1
    house.close()


@pytest.mark.parametrize("status", [400, 401, 301])
def test_a_refused_message_is_told_kept_and_hinders_no_other(tmp_path: Path, receiver: Receiver, status: int):
    receiver.answer = lambda message: status if message["track"] == 1 else 200
    house = House(tmp_path, WebhookTarget("web", receiver.url))
    house.tell(1, 2, 3)
    assert until(lambda: len(receiver.heard) == 2)
    house.clock.wait(40)
    assert receiver.keys == [key(2), key(3)] and receiver.asked == 3  # not tried again so soon
    (line,) = house.said.of("delivery_refused")
    assert line["id"] == "hall-000001" and f"answered {status}" in line["why"]
    assert house.outbox.health()["web"].waiting == 1
    house.close()
    receiver.answer = lambda message: 200  # put right, and started again
    again = House(tmp_path, WebhookTarget("web", receiver.url))
    assert until(lambda: len(receiver.heard) == 3)
    again.close()


def test_a_refused_message_is_tried_again_after_a_long_while(tmp_path: Path, receiver: Receiver):
    left = [400]
    receiver.answer = lambda message: left.pop() if left else 200
    house = House(tmp_path, WebhookTarget("web", receiver.url), retry=RetryOptions(refused_s=20))
    house.tell(1)
    start_s = house.clock.now_s()
    assert until(lambda: receiver.keys == [key(1)])
    assert house.clock.now_s() - start_s > 15
    house.close()


class Hurried:
    """A clock on which a delivering thread waits for nothing, and that much time has passed."""

    def __init__(self) -> None:
        self.at_s, self.waits_s = 0.0, list[float]()

    def now_s(self) -> float:
        return self.at_s

    def unix_s(self) -> float:
        return self.at_s

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        if threading.current_thread().name.startswith("deliver") and until is not None:
            self.waits_s.append(seconds)
            self.at_s += seconds
            return until.is_set()
        return until is not None and until.wait(0.05)


def test_the_waits_grow_to_their_bound_and_retry_after_is_heeded(tmp_path: Path):
    clock, tried, enough = Hurried(), list[str](), threading.Event()

    class Failing:
        name = "failing"

        def send(self, message: dict) -> None:
            tried.append(message["key"])
            if len(tried) == 9:
                enough.wait(10)
            raise DeliveryFailed("nobody there", after_s=40.0 if len(tried) == 6 else None)

        def close(self) -> None:
            enough.set()

    store = Store(tmp_path / "events.db", ["failing"])
    store.record(fall(1))
    outbox = Outbox(store, [Failing()], clock, options=RetryOptions(first_s=1, most_s=8))
    outbox.start()
    assert until(lambda: len(tried) == 9)
    waits_s = list(clock.waits_s)
    outbox.stop()
    store.close()
    for wait_s, most_s in zip(waits_s, [1, 2, 4, 8, 8, 40, 8, 8], strict=True):
        assert 0.75 * most_s <= wait_s <= most_s
    assert waits_s[5] == 40 and len(set(waits_s)) == 8  # no two alike


def test_a_dead_and_a_silent_target_hinder_neither_the_others_nor_recording(
    tmp_path: Path, receiver: Receiver
):
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
    house = House(
        tmp_path,
        WebhookTarget("dead", f"http://127.0.0.1:{free_port()}/"),
        WebhookTarget("silent", f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=30),
        WebhookTarget("alive", receiver.url),
    )
    begun_s = time.monotonic()
    house.tell(*range(10))
    assert time.monotonic() - begun_s < 5  # nobody's time-out of 30 s
    assert until(lambda: len(receiver.heard) == 10)
    assert receiver.keys == [key(number) for number in range(10)]  # the oldest first
    assert until(lambda: "refused" in (house.outbox.health()["dead"].why or ""))
    assert house.outbox.health()["alive"].why is None
    assert until(lambda: house.store.waiting_for() == {"dead": 10, "silent": 10, "alive": 0})
    begun_s = time.monotonic()
    house.close()
    assert time.monotonic() - begun_s < 5  # it does not wait for who is silent
    silent.close()


def test_who_comes_back_is_told_all_in_order_also_after_our_restart(tmp_path: Path, receiver: Receiver):
    target = WebhookTarget("web", receiver.url)
    house = House(tmp_path, target)
    house.tell(0, 1)
    assert until(lambda: len(receiver.heard) == 2)
    receiver.stop()
    house.tell(2, 3)
    assert until(lambda: house.outbox.health()["web"].why is not None)
    house.close()
    house = House(tmp_path, target)
    house.tell(4)
    assert until(lambda: house.outbox.health()["web"].failures > 0)
    receiver.start()
    assert until(lambda: len(receiver.heard) == 5)
    assert receiver.keys == [key(number) for number in range(5)]
    house.close()


def test_an_end_is_not_told_before_its_beginning(tmp_path: Path, receiver: Receiver):
    left = [500, 500, 500]
    receiver.answer = lambda message: left.pop() if left and message["track"] == 1 else 200
    house = House(tmp_path, WebhookTarget("web", receiver.url))
    house.store.record(fall(1))
    house.store.record(ended(fall(1)))
    house.tell(2)
    assert until(lambda: len(receiver.heard) == 3)
    assert receiver.keys.index(key(1)) < receiver.keys.index(key(1, "recovered"))
    assert receiver.keys[0] == key(2)  # which does not wait for the one that fails
    house.close()


def test_an_answer_lost_on_its_way_repeats_the_key(tmp_path: Path, receiver: Receiver):
    taken: list[str] = []

    def answer(message: dict) -> int | None:
        taken.append(message["key"])
        return None if len(taken) == 1 else 200

    receiver.answer = answer
    house = House(tmp_path, WebhookTarget("web", receiver.url))
    house.tell(1)
    assert until(lambda: len(receiver.heard) == 1)
    assert taken == [key(1), key(1)]
    house.close()


def test_a_target_that_breaks_in_an_unforeseen_way_is_a_failure_like_others(tmp_path: Path):
    tries: list[str] = []

    class Broken:
        name = "broken"

        def send(self, message: dict) -> None:
            tries.append(message["key"])
            if len(tries) < 3:
                raise ZeroDivisionError("of all things")

        def close(self) -> None:
            raise OSError("not open")

    clock, store = SimulatedClock(SPEED), Store(tmp_path / "events.db", ["broken"])
    outbox = Outbox(store, [Broken()], clock)
    store.record(fall(1))
    outbox.start()
    assert until(lambda: store.waiting_for() == {"broken": 0})
    outbox.stop()
    store.close()


def test_a_target_that_is_no_longer_asked_for_is_said_at_the_start(tmp_path: Path, receiver: Receiver):
    store = Store(tmp_path / "events.db", ["old"])
    store.record(fall(1))
    store.close()
    house = House(tmp_path, WebhookTarget("web", receiver.url))
    assert house.said.of("deliveries_to_nobody") == [{"target": "old", "waiting": 1}]
    house.close()


@pytest.mark.parametrize(
    ("speaks", "told"),
    [(b"220 smtp.example.org\r\n", "did not answer as HTTP does"), (b"", "did not answer as HTTP does")],
)
def test_who_speaks_something_else_is_one_line(speaks: bytes, told: str):
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = server.accept()
        line.recv(65536)
        line.sendall(speaks)
        line.close()

    threading.Thread(target=serve, daemon=True).start()
    target = WebhookTarget("web", f"http://127.0.0.1:{server.getsockname()[1]}/")
    with pytest.raises(DeliveryFailed, match=told):
        target.send({"key": "k"})
    server.close()


def test_a_certificate_must_be_trusted_or_named(tmp_path: Path, receiver: Receiver):
    pair = certificate(tmp_path)
    if pair is None:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    assert receiver._server is not None
    receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
    url = receiver.url.replace("http://", "https://")
    with pytest.raises(DeliveryFailed, match="its certificate is not trusted"):
        WebhookTarget("web", url).send({"key": "k"})
    WebhookTarget("web", url, ca_file=str(pair[0])).send({"key": "k"})
    assert receiver.keys == ["k"]
    with pytest.raises(BadInput, match="holds no certificates"):
        WebhookTarget("web", url, ca_file=str(tmp_path / "none.pem"))


def test_targets_are_built_from_options_with_secrets_of_the_environment(receiver: Receiver):
    options = WebhookOptions(
        url=receiver.url, headers={"X-Api": "open sesame"}, headers_env={"Authorization": "HOUSE_TOKEN"}
    )
    environment = {"HOUSE_TOKEN": "Bearer 0123456789"}
    (target,) = build_targets([options], environment)
    target.send({"key": "k"})
    assert receiver.heard[0][2]["Authorization"] == "Bearer 0123456789"
    assert secrets_of([options], environment) == ("Bearer 0123456789", "open sesame")
    with pytest.raises(BadInput, match="HOUSE_TOKEN is not set"):
        build_targets([options], {})
    with pytest.raises(BadInput, match="name of two targets"):
        build_targets([options, options], environment)


@pytest.mark.parametrize("url", ["ftp://host/", "host/path", "http:///path", "https://host:99999/", ""])
def test_an_address_that_is_none_is_refused(url: str):
    with pytest.raises(ValidationError, match="must be like https://host/path"):
        WebhookOptions(url=url)


def test_options_that_cannot_work_are_refused():
    with pytest.raises(ValidationError, match="holds no"):
        MqttOptions(host="broker", topic="falls/#")
    with pytest.raises(ValidationError, match="cannot be a header"):
        WebhookOptions(url="http://host/", headers={"X-A": "1\r\nX-B: 2"})
    with pytest.raises(ValidationError, match="first_s is more than most_s"):
        RetryOptions(first_s=100)
