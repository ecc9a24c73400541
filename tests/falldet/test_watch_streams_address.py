"""Addresses and options of cameras: what is read, and that no login gets out of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from falldet.watch.streams.address import host_of, kind_of, redacted, split_login, with_login
from falldet.watch.streams.options import CameraOptions
from suite.config import Config, load_config
from suite.errors import BadInput, ConfigError

SECRET = "s3cr3t!x"
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


class Cameras(Config):
    cameras: tuple[CameraOptions, ...]


@pytest.mark.parametrize(
    ("given_url", "shown"),
    [
        ("rtsp://cam.local:554/live", "rtsp://cam.local:554/live"),
        (f"rtsp://admin:{SECRET}@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        (f"http://admin@{SECRET}@[fe80::1]:80/a", "http://***@[fe80::1]:80/a"),
        (f"RTSP://admin:{SECRET}/@10.0.0.7:554/live", "RTSP://***@10.0.0.7:554/live"),
        (f"http://cam/snap?usr=joe&pwd={SECRET}&size=2", "http://cam/snap?usr=***&pwd=***&size=2"),
        (f"rtsp://dvr/user=joe_password={SECRET}_channel=1_stream=0", None),
        (f"rtsp://dvr/user=joe&password={SECRET}&channel=1", "rtsp://dvr/user=***&password=***&channel=1"),
        (f"https://cam/v?access_token={SECRET}#x", "https://cam/v?access_token=***#x"),
    ],
)
def test_a_login_is_hidden_wherever_it_stands(given_url: str, shown: str | None) -> None:
    sentence = redacted(f"opening '{given_url}' failed, and {given_url} again")
    assert SECRET not in sentence
    assert "joe" not in sentence
    assert redacted(given_url) == (shown or "rtsp://dvr/user=***_password=***_channel=1_stream=0")
    assert redacted(redacted(given_url)) == redacted(given_url)


@given(WORDS, WORDS)
def test_a_login_survives_its_way_into_the_address_and_out(user: str, password: str) -> None:
    url = with_login("rtsp://host:554/a?b=1", user, password)
    assert split_login(url) == ("rtsp://host:554/a?b=1", user, password)
    assert redacted(url) == "rtsp://***@host:554/a?b=1"
    assert host_of(url) == "host"


def test_hosts_and_kinds(tmp_path: Path) -> None:
    assert host_of("rtsp://[fe80::1]:554/x") == "fe80::1"
    assert host_of("http://cam.local/x@y") == "cam.local"
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording/recording.json").touch()
    assert kind_of("rtsp://x/y") == "network"
    assert kind_of("0") == "webcam"
    assert kind_of(str(tmp_path)) == "folder"
    assert kind_of(str(tmp_path / "recording")) == "recording"
    assert kind_of("fall.mp4") == "file"


def test_options_hold_a_login_but_never_show_it(tmp_path: Path) -> None:
    text = f"""
cameras:
  - {{name: door, source: "rtsp://admin:{SECRET}@10.0.0.7/live"}}
  - {{name: bed 2, source: "http://cam/snap?pwd={SECRET}"}}
  - {{name: hall, source: rtsp://10.0.0.8/live, username: joe, password: "{SECRET}"}}
  - {{name: desk, source: 0}}
"""
    (tmp_path / "watch.yaml").write_text(text)
    loaded = load_config(Cameras, tmp_path / "watch.yaml")
    door, bed, hall, desk = loaded.config.cameras
    assert door.login() == ("admin", SECRET)
    assert door.source == "rtsp://10.0.0.7/live"
    assert bed.source == f"http://cam/snap?pwd={SECRET}"
    assert hall.login() == ("joe", SECRET)
    assert desk.kind == "webcam"
    for shown in (loaded.to_yaml(), repr(loaded.config), loaded.config.model_dump_json(), bed.shown):
        assert SECRET not in shown
        assert "admin" not in shown
    assert SECRET not in hall.hide(f"could not log in as joe with {SECRET}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"source: 'rtsp://a:{SECRET}@h/x', username: b", "once is enough"),
        (f"source: 'rtsp://a:{SECRET}/@h/x'", "give username and password"),
        (f"source: 'ftp://a:{SECRET}@h/x'", "ftp:// is not read"),
        (f"source: 'rtsp://h/x', password: {SECRET}", "without a user name"),
        (f"source: 'rtsp://h/x', username: u, password: {SECRET}, password_env: PW", "give one of them"),
        (f"source: 'rtsp://a:{SECRET}@h/x', looks_per_s: 0", "looks_per_s"),
        (f"source: 'rtsp://a:{SECRET}@h/x', shutter: 3", "shutter"),
        ("source: 'rtsp://h/x', username: joe, password: 87654321", "put it in quotes"),
    ],
)
def test_what_cannot_be_is_told_without_the_login(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "watch.yaml").write_text(f"cameras:\n  - {{name: door, {line}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(Cameras, tmp_path / "watch.yaml")
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "87654321" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a+b", "#", "a\nb", " a", "x" * 80])
def test_a_name_that_is_no_file_name_or_topic_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        CameraOptions(name=name, source="0")


def test_a_login_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    options = CameraOptions(
        name="a", source="rtsp://h/x", username=SecretStr("u"), password_env="DOOR_PASSWORD"
    )
    monkeypatch.delenv("DOOR_PASSWORD", raising=False)
    with pytest.raises(BadInput, match="DOOR_PASSWORD is not set"):
        options.login()
    monkeypatch.setenv("DOOR_PASSWORD", SECRET)
    assert options.login() == ("u", SECRET)
    assert options.hide(f"said {SECRET}") == "said ***"
