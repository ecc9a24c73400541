"""Sends what the store owes, one thread for each target, again and again until it is acknowledged.

A target that cannot be reached is left alone for a while that doubles up to a bound; a message that it
answers with an error waits by itself, so that those behind it go ahead. What was recorded before a restart
goes on after it; how long to wait is measured by the clock that does not jump.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from falldet.watch.clock import Clock
from falldet.watch.deliver.options import RetryOptions
from falldet.watch.deliver.target import DeliveryFailed, Target
from falldet.watch.log import Say, silent
from falldet.watch.store import Delivery, Store

_SAVE_EVERY_S = 5.0
_LOOK_EVERY_S = 30.0  # also without being woken


@dataclass(frozen=True)
class TargetHealth:
    """``why`` is the latest failure, and None while all is well; ``refused`` counts answers that it was told
    for good. ``waiting`` is filled in by `Outbox.health`."""

    why: str | None = None
    since_s: float = 0.0
    delivered: int = 0
    failures: int = 0
    refused: int = 0
    waiting: int = 0


class Outbox:
    """The threads that deliver; `wake` them after an event was recorded.

    Receivers may be sent a message twice (after a kill between their acknowledgement and its note here), with
    the same key; they are never sent an event's end before its beginning, unless they refused the beginning.
    """

    def __init__(
        self,
        store: Store,
        targets: Sequence[Target],
        clock: Clock,
        *,
        options: RetryOptions | None = None,
        say: Say = silent,
    ) -> None:
        self._store, self._clock, self._say = store, clock, say
        self._stopping = threading.Event()
        self._workers = [
            _Worker(target, store, clock, options or RetryOptions(), say, self._stopping)
            for target in targets
        ]
        self._threads = [
            threading.Thread(target=worker.run, name=f"deliver {worker.target.name}", daemon=True)
            for worker in self._workers
        ]
        self._threads.append(threading.Thread(target=self._save, name="save", daemon=True))

    def start(self) -> None:
        """Begin with what an earlier run has left."""
        for target, count in self._store.waiting_for().items():
            if count and target not in self._store.targets:
                self._say("deliveries_to_nobody", target=target, waiting=count)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something new to send."""
        for worker in self._workers:
            worker.news.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the threads; what is not acknowledged stays in the store."""
        self._stopping.set()
        self.wake()
        for worker in self._workers:
            with suppress(Exception):  # closing what is half open may fail in many ways, and matters no more
                worker.target.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def health(self) -> dict[str, TargetHealth]:
        """By target's name."""
        waiting = self._store.waiting_for()
        return {
            worker.target.name: replace(worker.health, waiting=waiting.get(worker.target.name, 0))
            for worker in self._workers
        }

    def _save(self) -> None:
        while not self._stopping.is_set():
            self._store.save()
            self._clock.wait(_SAVE_EVERY_S, until=self._stopping)


class _Worker:
    """Delivers to one target."""

    def __init__(
        self,
        target: Target,
        store: Store,
        clock: Clock,
        options: RetryOptions,
        say: Say,
        stop: threading.Event,
    ) -> None:
        self.target, self.health = target, TargetHealth(since_s=clock.now_s())
        self.news = threading.Event()
        self._store, self._clock, self._options, self._say, self._stop = store, clock, options, say, stop
        self._random = random.Random(target.name)
        self._in_a_row = 0
        self._ready_s = -float("inf")  # of the target
        self._due_s: dict[tuple[str, str], float] = {}  # of messages that were answered with an error

    def run(self) -> None:
        while not self._stop.is_set():
            self.news.clear()
            try:
                delivery, wait_s = self._next()
                if delivery is not None:
                    self._deliver(delivery)
                    continue
            except Exception as error:  # whatever it is, the next event is still to be told
                self._say("delivery_fault", target=self.target.name, why=f"{type(error).__name__}: {error}")
                wait_s = self._options.most_s
            self._clock.wait(wait_s, until=self.news)

    def _next(self) -> tuple[Delivery | None, float]:
        """What to send now; or None, and how long to wait."""
        now_s = self._clock.now_s()
        if now_s < self._ready_s:
            return None, self._ready_s - now_s
        pending = self._store.pending(self.target.name)
        keys = {(delivery.event, delivery.state) for delivery in pending}
        self._due_s = {key: due_s for key, due_s in self._due_s.items() if key in keys}
        wait_s, begun = _LOOK_EVERY_S, set[str]()
        for delivery in pending:
            due_s = self._due_s.get((delivery.event, delivery.state), now_s)
            if due_s <= now_s and delivery.event not in begun:
                return delivery, 0.0
            wait_s = min(wait_s, max(0.05, due_s - now_s))
            if not delivery.refused:
                begun.add(delivery.event)
        return None, wait_s

    def _deliver(self, delivery: Delivery) -> None:
        try:
            self.target.send(delivery.message)
        except DeliveryFailed as failure:
            self._failed(delivery, failure)
        except Exception as error:
            self._failed(delivery, DeliveryFailed(f"{type(error).__name__}: {error}", answered=True))
        else:
            self._delivered(delivery)

    def _delivered(self, delivery: Delivery) -> None:
        self._store.delivered(delivery, self._clock.unix_s())
        self._say(
            "delivered",
            target=self.target.name,
            id=delivery.event,
            state=delivery.state,
            tries=delivery.tries + 1,
        )
        now_s = self._clock.now_s()
        if self._in_a_row:
            self._say(
                "target_works_again",
                target=self.target.name,
                after_s=round(now_s - self.health.since_s, 1),
                waiting=len(self._store.pending(self.target.name)),
            )
            self.health = replace(self.health, why=None, since_s=now_s)
        self._in_a_row, self._ready_s = 0, now_s
        self.health = replace(self.health, delivered=self.health.delivered + 1)

    def _failed(self, delivery: Delivery, failure: DeliveryFailed) -> None:
        if self._stop.is_set() and not failure.answered:
            return  # it was closed under our hands
        now_s, options, name = self._clock.now_s(), self._options, self.target.name
        self._store.failed(delivery, failure.why, failure.refused)
        self.health = replace(self.health, failures=self.health.failures + 1)
        key = (delivery.event, delivery.state)
        if failure.refused:
            self._due_s[key] = now_s + options.refused_s
            self._ready_s = now_s + options.first_s  # a target that refuses all is not flooded
            self._in_a_row = 0
            self.health = replace(self.health, why=None, refused=self.health.refused + 1)
            self._say(
                "delivery_refused", target=name, id=delivery.event, state=delivery.state, why=failure.why
            )
            return
        if not self._in_a_row or failure.why != self.health.why:
            self._say("delivery_fails", target=name, why=failure.why, tries=delivery.tries + 1)
        since_s = self.health.since_s if self._in_a_row else now_s
        self.health = replace(self.health, why=failure.why, since_s=since_s)
        asked_s = min(failure.after_s or 0.0, options.refused_s)
        self._ready_s = now_s + max(self._back_off_s(self._in_a_row), asked_s)
        self._in_a_row += 1
        if failure.answered:
            self._due_s[key] = self._ready_s + self._back_off_s(delivery.tries)

    def _back_off_s(self, failures: int) -> float:
        """Doubled with each failure, and never twice the same, so that many senders do not come at once."""
        whole_s = min(self._options.most_s, self._options.first_s * 2.0 ** min(failures, 30))
        return whole_s * self._random.uniform(0.75, 1.0)
