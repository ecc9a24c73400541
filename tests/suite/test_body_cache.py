"""What is kept of the free body: read whole, never trusted when changed, computed by one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite.body import anny_cache

pytest.importorskip("anny")


def small(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(5, 3)), "bones": np.array(["root", "head"]), "mask": rng.random(7) > 0.5}


def test_arrays_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "model.npz"
    assert anny_cache.read_arrays(path) is None
    anny_cache.write_arrays(path, small(0))
    found = anny_cache.read_arrays(path)
    assert found is not None and set(found) == {"a", "bones", "mask"}
    for name, array in small(0).items():
        np.testing.assert_array_equal(found[name], array)


def test_a_cut_or_changed_file_is_not_used(tmp_path: Path):
    path = tmp_path / "model.npz"
    anny_cache.write_arrays(path, small(0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert anny_cache.read_arrays(path) is None
    arrays = small(0)
    hashed = anny_cache.content_hash(arrays)
    arrays["a"][0, 0] += 1
    np.savez(path, **arrays, sha256=np.array(hashed))
    assert anny_cache.read_arrays(path) is None


def test_it_is_computed_once_below_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    made = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(anny_cache, "_computed", lambda: made.append(1) or small(1))
    first, second = anny_cache.anny_arrays(), anny_cache.anny_arrays()
    assert len(made) == 1 and set(first) == set(second)
    (kept,) = (tmp_path / "vision-suite").glob("anny-*.npz")
    kept.write_bytes(b"broken")
    anny_cache.anny_arrays()
    assert len(made) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard has such paths ignored
    assert anny_cache.cache_folder() == Path.home() / ".cache" / "vision-suite"
