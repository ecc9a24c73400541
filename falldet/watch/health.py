"""How a watch is: a dict for machines, of everything and of each camera, and one line for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from falldet.watch.clips import ClipWriter
from falldet.watch.deliver.outbox import TargetHealth
from falldet.watch.store import Store
from falldet.watch.streams.health import StreamHealth

_WELL = ("starting", "live", "ended")


@dataclass
class Counts:
    """What a watch has counted of one camera since it started; one thread adds, others may read."""

    looks: int = 0
    events: dict[str, int] = field(default_factory=dict)
    """By state."""
    look_cpu_s: float = 0.0
    """What all looks took together."""
    newest_look_s: float | None = None
    """The clock's time of the picture that was looked at last."""


def health_of(
    streams: Mapping[str, StreamHealth],
    counts: Mapping[str, Counts],
    targets: Mapping[str, TargetHealth],
    store: Store,
    clips: ClipWriter | None,
    *,
    now_s: float,
    started_s: float,
) -> dict[str, Any]:
    """``state`` is "ok" or "trouble", ``line`` says it to people; then ``cameras``, ``targets``, ``store``,
    ``clips``, ``process``. Plain JSON, without credentials. All that counts up is of this process."""
    cameras = {name: _camera(stream, counts.get(name, Counts()), now_s) for name, stream in streams.items()}
    told = {
        name: {
            **asdict(one),
            "for_s": round(now_s - one.since_s, 1),
            "state": "ok" if one.why is None else "failing",
        }
        for name, one in targets.items()
    }
    for one in told.values():
        del one["since_s"]
    found: dict[str, Any] = {
        "cameras": cameras,
        "targets": told,
        "store": {"why": store.trouble, "waiting": store.waiting, "dropped": store.dropped},
        "clips": None if clips is None else {
            "why": clips.trouble, "waiting": clips.waiting, "written": clips.written, "dropped": clips.dropped
        },
        "process": {"up_s": round(now_s - started_s, 1), "rss_mb": rss_mb()},
    }  # fmt: skip
    troubles = _troubles(found)
    return {"state": "trouble" if troubles else "ok", "line": _line(found, troubles)} | found


def rss_mb() -> float | None:
    """Memory of this process that is in use, where the system tells it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # read every few seconds
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    import resource

    return round(pages * resource.getpagesize() / 1e6, 1)


def _camera(stream: StreamHealth, counts: Counts, now_s: float) -> dict[str, Any]:
    seen_s = counts.newest_look_s
    told = stream.as_dict()
    del told["since_s"]
    return told | {
        "for_s": round(now_s - stream.since_s, 1),
        "looks": counts.looks,
        "events": dict(counts.events),
        "look_s": round(counts.look_cpu_s / counts.looks, 4) if counts.looks else None,
        "behind_s": None if seen_s is None else round(now_s - seen_s, 2),
    }


def _troubles(found: dict[str, Any]) -> list[str]:
    told = [
        f"{name} {one['state']} for {_time(one['for_s'])}" + (f" ({one['why']})" if one["why"] else "")
        for name, one in found["cameras"].items()
        if one["state"] not in _WELL
    ]
    for name, one in found["targets"].items():
        waiting = f"{_many(one['waiting'], 'message')} waiting for {name}"
        if one["why"] is not None:
            told.append(f"{waiting} for {_time(one['for_s'])} ({one['why']})")
        elif one["refused"] and one["waiting"]:
            told.append(f"{waiting}, which refused some for good")
    store, clips = found["store"], found["clips"]
    if store["why"] is not None:
        lost = f", {store['dropped']} lost" if store["dropped"] else ""
        told.append(f"{store['why']}: {_many(store['waiting'], 'event')} only in memory{lost}")
    if clips is not None and clips["why"] is not None:
        told.append(clips["why"])
    return told


def _line(found: dict[str, Any], troubles: list[str]) -> str:
    cameras = found["cameras"].values()
    good = sum(one["state"] == "live" for one in cameras)
    events = sum(one["events"].get("confirmed", 0) for one in cameras)
    up_s = _time(found["process"]["up_s"])
    up = f"{good} of {_many(len(cameras), 'camera')} live, {_many(events, 'fall')} in {up_s}"
    return "; ".join([up, *troubles])


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _time(seconds: float) -> str:
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds:.0f} s"
