"""A watch written in YAML: what is right loads, what is wrong is one line with its place; no login shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from falldet.detections import Detections
from falldet.watch import command
from falldet.watch.command import load_watch
from falldet.watch.config import WatchConfig
from suite.config import load_config
from suite.errors import BackendUnavailable, BadInput, ConfigError

EXAMPLE = Path(command.__file__).with_name("example.yaml")


def wrong(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "watch.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as found:
        load_config(WatchConfig, file)
    return [problem.removeprefix(f"{tmp_path}/") for problem in found.value.problems]


def test_the_example_loads_as_it_is_written():
    config = load_config(WatchConfig, EXAMPLE).config
    assert [camera.name for camera in config.cameras] == ["Room 12", "Day room"]
    assert config.cameras[0].password_env == "ROOM12_PASSWORD"
    assert config.cameras[1].zones[0].polygon[1] == (0.40, 0.50)
    assert config.targets[0].type == "webhook" and config.page.host == "127.0.0.1"


def test_faults_are_told_all_at_once_each_with_its_line(tmp_path: Path):
    text = """\
cameras:
  - name: hall
    source: rtsp://10.0.0.7/a
    looks_per_s: 0
    zones:
      - {name: bed, polygon: [[0, 0], [1.5, 0], [1, 1]]}
  - {name: yard, source: "ftp://10.0.0.8/a"}
targets:
  - {type: carrier_pigeon, url: x}
page: {host: 0.0.0.0}
clips: {befor_s: 3}
"""
    told = wrong(tmp_path, text)
    assert [line.partition(": ")[0] for line in told] == [
        f"watch.yaml:{place}" for place in ("4:5", "6:21", "6:40", "7:18", "9:6", "10:1", "11:9")
    ]
    assert "ftp:// is not read" in told[3] and "did you mean" in told[6]
    assert "token_env" in told[5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: []", "there is no camera"),
        ("model: light", "cameras: required"),
        ("cameras: [{name: a, source: '0'}, {name: A, source: '1'}]", "two cameras are called 'a'"),
        ("cameras: [{name: '../x', source: '0'}]", "cameras.0.name"),
        (
            "cameras: [{name: a, source: '0'}]\ntargets: [{type: mqtt, host: h}, {type: mqtt, host: i}]",
            "two targets are called 'mqtt'",
        ),
        ("cameras: [{name: a, source: '0', password: geheim77}]", "a password without a user name"),
        ("cameras: [{name: a, source: 'rtsp://u:geheim77@h', username: v}]", "once is enough"),
    ],
)
def test_what_cannot_be_watched(tmp_path: Path, text: str, said: str):
    told = wrong(tmp_path, text)
    assert len(told) == 1 and said in told[0] and "geheim77" not in told[0]


def test_anything_else_is_the_only_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day & night.mp4").touch()
    for given, name, source in (
        ("rtsp://10.0.0.7:554/stream", "10.0.0.7", "rtsp://10.0.0.7:554/stream"),
        ("http://[fe80::1]/x", "fe80-1", "http://[fe80::1]/x"),
        ("0", "camera 0", "0"),
        ("day & night.mp4", "day - night", "day & night.mp4"),
        (".", tmp_path.name[:60], "."),
        ("odd ${name} file.mp4", "odd -name- file", "odd ${name} file.mp4"),
    ):
        config = load_watch(given, ["page.port=0", "cameras.0.looks_per_s=4"]).config
        (camera,) = config.cameras
        assert (camera.name, camera.source, camera.looks_per_s) == (name, source, 4.0)
        assert config.page.port == 0


def test_a_login_in_the_address_is_taken_out_and_never_shown(capfd: pytest.CaptureFixture[str]):
    loaded = load_watch("rtsp://anna:geheim77@10.0.0.7/stream")
    (camera,) = loaded.config.cameras
    assert camera.login() == ("anna", "geheim77") and camera.source == "rtsp://10.0.0.7/stream"
    assert "geheim77" not in loaded.to_yaml() + repr(loaded) + str(loaded.config)
    for settings in (["page.port=-1"], ["cameras.0.looks_per_s=no"], ["nonsense=1"]):
        with pytest.raises(ConfigError) as found:
            load_watch("rtsp://anna:geheim77@10.0.0.7/stream", settings)
        assert "geheim77" not in str(found.value)
    with pytest.raises(BadInput) as cut:
        load_watch("rtsp://anna:geh/eim77@10.0.0.7/stream")
    assert "eim77" not in str(cut.value)


def test_a_page_without_its_token_or_its_package(monkeypatch: pytest.MonkeyPatch):
    from watch_stand_in import StandIn

    from falldet.watch.page.options import PageOptions

    options = PageOptions(host="0.0.0.0", token_env="FALLDET_TEST_TOKEN")
    with pytest.raises(BadInput, match="FALLDET_TEST_TOKEN is not set"):
        command.open_page(StandIn({}), options)
    monkeypatch.setenv("FALLDET_TEST_TOKEN", "short")
    with pytest.raises(BadInput, match=r"short \(5 characters\)") as found:
        command.open_page(StandIn({}), options)
    assert "'short'" not in str(found.value)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(BackendUnavailable, match=r"vision-suite\[watch\], or set page.on=false"):
        command.open_page(StandIn({}), PageOptions())


def test_settings_need_no_heavy_package():
    code = (
        "import sys, falldet.watch.config; "
        "print([m for m in ('torch', 'cv2', 'av', 'aiohttp', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.strip() == "[]", done.stderr


def test_the_size_of_pictures_can_be_set_and_is_else_that_of_the_evidence() -> None:
    from falldet.watch.command import open_detector

    def size(**given: object) -> int:
        camera = {"name": "hall", "source": "0"}
        card = open_detector(WatchConfig.model_validate({"cameras": [camera], **given})).card
        return card.pixels.long_px  # pyright: ignore[reportAttributeAccessIssue]

    assert size() == 416 and size(long_px=512) == 512
    assert size(events={"evidence": "score"}) == 320


def test_the_size_of_models_that_are_not_ours_is_theirs() -> None:
    from falldet.model.file import sized

    class Card:
        threshold = 0.5

    class Theirs:
        @property
        def card(self) -> Card:
            return Card()

        def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
            return [Detections.none() for _ in pictures]

    theirs = Theirs()
    assert sized(theirs, None) is theirs
    with pytest.raises(BadInput, match="size"):
        sized(theirs, 512)
