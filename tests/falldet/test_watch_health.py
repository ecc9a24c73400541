"""Health: a dict, one line that says what is amiss and for how long, and the same for Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from falldet.watch.clips import ClipWriter
from falldet.watch.clock import SimulatedClock
from falldet.watch.deliver.outbox import TargetHealth
from falldet.watch.health import Counts, health_of, rss_mb
from falldet.watch.metrics import metrics_text
from falldet.watch.store import Store
from falldet.watch.streams.health import StreamHealth


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "events.db", ["web"])


@pytest.fixture
def clips(tmp_path: Path) -> ClipWriter:
    return ClipWriter(tmp_path, SimulatedClock())


LIVE = StreamHealth("live", "", 100.0, shots=7200, dropped=3, size_px=(640, 480))
COUNTS = Counts(7190, {"confirmed": 2, "recovered": 1}, 359.5, 3699.8)


def test_all_well_is_a_short_line(store: Store, clips: ClipWriter):
    health = health_of(
        {"hall": LIVE}, {"hall": COUNTS}, {"web": TargetHealth(delivered=3)}, store, clips,
        now_s=3700.0, started_s=100.0,
    )  # fmt: skip
    assert health["state"] == "ok"
    assert health["line"] == "1 of 1 camera live, 2 falls in 1 h"
    hall = health["cameras"]["hall"]
    assert (hall["state"], hall["why"], hall["looks"], hall["size_px"]) == ("live", "", 7190, (640, 480))
    assert (hall["look_s"], hall["behind_s"], hall["for_s"]) == (0.05, 0.2, 3600.0)
    assert json.loads(json.dumps(health))["targets"]["web"]["state"] == "ok"


def test_what_is_amiss_stands_in_the_line_with_its_time_and_reason(store: Store, clips: ClipWriter):
    store.trouble, store.dropped = "events.db: cannot be written (database or disk is full)", 2
    clips.trouble = "clips: clips cannot be written (no space left on device)"
    health = health_of(
        {"hall": LIVE, "ward": StreamHealth("reconnecting", "no answer within 5 s", 3660.0)},
        {},
        {
            "web": TargetHealth("h:80: connection refused", 3580.0, failures=9, waiting=1),
            "mqtt": TargetHealth(refused=2, waiting=1),
        },
        store, clips, now_s=3700.0, started_s=0.0,
    )  # fmt: skip
    assert health["state"] == "trouble"
    assert health["line"] == (
        "1 of 2 cameras live, 0 falls in 1.03 h; ward reconnecting for 40 s (no answer within 5 s); "
        "1 message waiting for web for 2 min (h:80: connection refused); "
        "1 message waiting for mqtt, which refused some for good; "
        "events.db: cannot be written (database or disk is full): 0 events only in memory, 2 lost; "
        "clips: clips cannot be written (no space left on device)"
    )
    assert "\n" not in health["line"]


def samples(text: str) -> dict[str, float]:
    """As Prometheus reads them: every sample after its HELP and TYPE, each once, in one block a name."""
    found: dict[str, float] = {}
    blocks: list[str] = []
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            blocks.append(line.split()[2])
            assert blocks.count(blocks[-1]) == 1
        elif line.startswith("# TYPE "):
            assert line.split()[2] == blocks[-1] and line.split()[3] in ("counter", "gauge")
            assert blocks[-1].endswith("_total") == (line.split()[3] == "counter")
        else:
            match = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)', line)
            assert match and match[1] == blocks[-1], line
            name = line.rpartition(" ")[0]
            assert name not in found
            found[name] = float(match[3])
    return found


def test_metrics_are_prometheus_text(store: Store, clips: ClipWriter):
    strange = 'w"a\\r\nd'
    health = health_of(
        {"hall": LIVE, strange: StreamHealth("failed", "wrong password", 5.0)}, {"hall": COUNTS},
        {"web": TargetHealth("gone", 3.0, delivered=3, failures=2, refused=1, waiting=4)}, store, clips,
        now_s=3700.0, started_s=100.0,
    )  # fmt: skip
    text = metrics_text(health)
    found = samples(text)
    assert found["falldet_up"] == 0
    assert found['falldet_camera_state{camera="hall",state="live"}'] == 1
    assert found['falldet_camera_state{camera="w\\"a\\\\r\\nd",state="failed"}'] == 1
    assert found['falldet_events_total{camera="hall",state="confirmed"}'] == 2
    assert found['falldet_look_seconds{camera="hall"}'] == 0.05
    assert 'falldet_look_seconds{camera="w' not in text  # not known
    assert found['falldet_deliveries_waiting{target="web"}'] == 4
    assert found["falldet_uptime_seconds"] == 3600
    assert found["falldet_memory_bytes"] > 1e7


def test_metrics_of_a_watch_without_targets_and_clips(store: Store):
    health = health_of({"hall": LIVE}, {}, {}, store, None, now_s=1.0, started_s=0.0)
    found = samples(metrics_text(health))
    assert found["falldet_up"] == 1
    assert not [name for name in found if "clips" in name or "deliver" in name]


def test_an_oracle_reads_the_same(store: Store, clips: ClipWriter):
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    health = health_of(
        {"hall": LIVE}, {"hall": COUNTS}, {"web": TargetHealth()}, store, clips, now_s=9.0, started_s=0.0
    )
    text = metrics_text(health)
    read = {
        sample.name + str(sorted(sample.labels.items()))
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert len(read) == len(samples(text))


def test_the_memory_of_this_process_is_known():
    found = rss_mb()
    if found is None:
        pytest.skip("this system does not tell it")
    assert 10 < found < 100_000
