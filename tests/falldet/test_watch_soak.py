"""Minutes of a watch on a fast clock while its web server, broker, disk and itself come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._watch_receivers import Broker

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (extra watch)")
pytest.importorskip("cv2")


@pytest.mark.skipif(Broker.program() is None, reason="mosquitto is not installed (Debian: mosquitto)")
def test_whatever_breaks_no_fall_is_lost_or_doubled(tmp_path: Path):
    from benchmarks._watch_soak import soak

    found = soak(tmp_path, hours=330 / 3600, speed=60)
    assert found.falls == 9  # three cycles before three cameras
    assert not found.lost
    assert not found.doubled
    assert found.missing == {"webhook": [], "mqtt": []}
    # Everything that was to break did break, was noticed, and said.
    assert found.said["delivery_fails"] >= 2 and found.said["target_works_again"] >= 2
    assert found.said["store_cannot_write"] == found.said["store_writes_again"] == 1
    assert found.most_in_memory > 0
    assert found.said["clip_written"] > 0
    assert "waiting for webhook" in found.lines[0] and "only in memory" in found.lines[1]
