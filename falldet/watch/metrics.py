"""The health of a watch in Prometheus' text format (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATES = ("starting", "live", "reconnecting", "ended", "failed")
_Sample = tuple[dict[str, str], float | int | None]


def metrics_text(health: dict[str, Any]) -> str:
    """Of what `health_of` gave. A figure that is not known is left out."""
    return "".join(
        line for name, kind, told, samples in _families(health) for line in _family(name, kind, told, samples)
    )


def _families(health: dict[str, Any]) -> Iterator[tuple[str, str, str, list[_Sample]]]:
    cameras, targets = health["cameras"], health["targets"]

    def each(of: dict[str, Any], label: str, key: str) -> list[_Sample]:
        return [({label: name}, one[key]) for name, one in of.items()]

    def camera(key: str) -> list[_Sample]:
        return each(cameras, "camera", key)

    def target(key: str) -> list[_Sample]:
        return each(targets, "target", key)

    yield "up", "gauge", "1 where nothing is amiss.", [({}, int(health["state"] == "ok"))]
    yield "camera_state", "gauge", "1 for the state the camera is in.", [
        ({"camera": name, "state": state}, int(one["state"] == state))
        for name, one in cameras.items()
        for state in _STATES
    ]  # fmt: skip
    yield "shots_total", "counter", "Pictures that came.", camera("shots")
    yield "shots_dropped_total", "counter", "Pictures nobody had time to look at.", camera("dropped")
    yield "reconnects_total", "counter", "Times a camera was connected to again.", camera("reconnects")
    yield "looks_total", "counter", "Pictures that were looked at.", camera("looks")
    yield "look_seconds", "gauge", "What a look takes, in the mean.", camera("look_s")
    yield "look_age_seconds", "gauge", "Age of the picture that was looked at last.", camera("behind_s")
    yield "events_total", "counter", "Falls confirmed, and how they ended.", [
        ({"camera": name, "state": state}, one["events"].get(state, 0))
        for name, one in cameras.items()
        for state in ("confirmed", "recovered", "lost")
    ]  # fmt: skip
    yield "deliveries_total", "counter", "Messages that were acknowledged.", target("delivered")
    yield "delivery_failures_total", "counter", "Attempts that failed.", target("failures")
    yield "delivery_refusals_total", "counter", "Attempts that were refused for good.", target("refused")
    yield "deliveries_waiting", "gauge", "Messages that are not acknowledged.", target("waiting")
    store, clips = health["store"], health["clips"]
    yield "store_writable", "gauge", "1 where events can be written.", [({}, int(store["why"] is None))]
    yield "events_in_memory", "gauge", "Events that could not be written yet.", [({}, store["waiting"])]
    yield "events_dropped_total", "counter", "Events that no longer fitted.", [({}, store["dropped"])]
    if clips is not None:
        yield "clips_written_total", "counter", "Clips written.", [({}, clips["written"])]
        yield "clips_waiting", "gauge", "Clips that are not written yet.", [({}, clips["waiting"])]
        yield "clips_dropped_total", "counter", "Clips that no longer fitted.", [({}, clips["dropped"])]
    process = health["process"]
    rss_mb = process["rss_mb"]
    yield "uptime_seconds", "gauge", "Time since the watch was started.", [({}, process["up_s"])]
    yield "memory_bytes", "gauge", "Resident memory.", [({}, None if rss_mb is None else rss_mb * 1e6)]


def _family(name: str, kind: str, told: str, samples: Iterable[_Sample]) -> Iterator[str]:
    name = f"falldet_{name}"
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    yield f"# HELP {name} {told}\n# TYPE {name} {kind}\n"
    for labels, value in known:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{inside}}} {value}\n" if inside else f"{name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
