"""Files of weights are data: nothing in them runs, and what is not weights is told in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from falldet.model.weights.read import read_weights
from suite.errors import BadInput


class _Runs:
    """Pickled, it would make whoever opens it create a file."""

    def __init__(self, by: object, *given: str) -> None:
        self.call = (by, given)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_any_class_beside_the_weights_are_passed_over(tmp_path: Path, zipped: bool) -> None:
    import datetime

    path = tmp_path / "a.pth"
    content = {
        "meta": {"time": datetime.datetime(2026, 1, 1), "epoch": 3},
        "state_dict": {"module.a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.half)},
        "optimizer": {"state": {0: {"step": np.float64(3)}}},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = read_weights(path)
    assert file.meta["epoch"] == 3 and not isinstance(file.meta["time"], datetime.datetime)
    assert torch.equal(file.tensors["a"], torch.arange(6.0).view(2, 3)) and file.tensors.keys() == {"a", "b"}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["system", "open", "exec"])
def test_nothing_in_a_file_runs(tmp_path: Path, kind: str, zipped: bool) -> None:
    trap, path = tmp_path / "trap", tmp_path / "a.pth"
    bad = {
        "system": _Runs(os.system, f"touch {trap}"),
        "open": _Runs(open, str(trap), "w"),
        "exec": _Runs(exec, f"open({str(trap)!r}, 'w')"),
    }[kind]
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": bad}, path, _use_new_zipfile_serialization=zipped)
    try:
        assert read_weights(path).tensors.keys() == {"a"}
    except BadInput as error:
        assert "holds more than weights and plain data (" in str(error)
    pickled = tmp_path / "a.pkl"
    for protocol in (2, 4):
        pickled.write_bytes(pickle.dumps({"model": {"a": np.ones(1)}, "x": bad}, protocol))
        with pytest.raises(BadInput, match=r"holds more than arrays \("):
            read_weights(pickled)
    assert not trap.exists()
    pickle.loads(pickle.dumps(bad))
    assert trap.exists()  # the trap works


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs"),
        (b"a picture, perhaps", "not a file of weights"),
        (b"PK\x03\x04 not a zip", "not readable as a .pth"),
        (b"\x80\x04 not a pickle", r"\.bin: "),
        (b"\x05" + bytes(7) + b"{oops", "not readable as safetensors"),
        (pickle.dumps([1, 2, 3], 4), "holds a list, not named weights"),
        (pickle.dumps({"a": "text"}, 4), "holds no named weights"),
    ],
)
def test_what_is_not_weights_is_told_in_one_line(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=what) as refused:
        read_weights(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="no such file"):
        read_weights(tmp_path / "absent.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_or_holding_a_whole_model_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BadInput, match=r"a\.pth: not readable as a \.pth"):
        read_weights(path)
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match=r"torch\.nn\.modules\.linear\.Linear\); save its state dict alone"):
        read_weights(path)
