import hashlib
import os
from pathlib import Path

import pytest

from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write, data_folder, sha256, sole


def test_a_file_appears_whole(tmp_path: Path):
    target = tmp_path / "deep" / "result.json"
    with atomic_write(target, "w") as stream:
        stream.write("κύβος")
        assert not target.exists()
    assert target.read_bytes() == "κύβος".encode()
    assert os.listdir(target.parent) == ["result.json"]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "result.json"
    target.write_text("before")
    with pytest.raises(RuntimeError, match="half way"), atomic_write(target) as stream:
        stream.write(b"after")
        raise RuntimeError("half way")
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_written_file_has_ordinary_permissions(tmp_path: Path):
    (tmp_path / "plain").write_text("x")
    with atomic_write(tmp_path / "atomic") as stream:
        stream.write(b"x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "run"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "other") as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["run"]


def test_a_folder_is_never_overwritten(tmp_path: Path):
    target = tmp_path / "run"
    target.mkdir()
    with atomic_folder(target) as folder:  # an empty folder is free
        (folder / "a").write_text("1")
    with pytest.raises(BadInput, match="exists already"), atomic_folder(target):
        pass
    with pytest.raises(BadInput, match="exists already"), atomic_folder(tmp_path / "late") as folder:
        (folder / "mine").write_text("1")
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "theirs").write_text("2")
    assert os.listdir(tmp_path / "late") == ["theirs"]
    assert sorted(os.listdir(tmp_path)) == ["late", "run"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path):
    content = os.urandom(3_000_001)
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_data_sets_are_looked_up_where_suite_data_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "spine" / "backs").mkdir(parents=True)
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    assert data_folder("spine/backs") == tmp_path / "spine" / "backs"
    assert data_folder("spine/fronts") is None


def test_one_at_a_time_works_in_a_folder(tmp_path):
    refused = pytest.raises(BadInput, match="another process is at work in this folder; wait")
    with sole(tmp_path):
        with refused as caught, sole(tmp_path):
            raise AssertionError("both are in")
        assert len(str(caught.value).splitlines()) == 1
        (tmp_path / "file").write_text("what is in it is free")
    with sole(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
