"""A field in one file: back as it was, in any backend, refused where it is another's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ball_views import BIG, DENSITY, GRID, SAMPLING, SDF, backend_of, ball_views, rendered

from nerfrecon.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from nerfrecon.options import DensityFieldOptions
from suite.errors import BackendUnavailable, BadInput


@pytest.mark.parametrize("field", [DENSITY, SDF, BIG])
def test_it_reads_as_it_was_written(field, tmp_path):
    backend = backend_of(field)
    backend.steps(2)
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    wanted = Checkpoint(field, SAMPLING, backend.state(), matrix, {"name": "balls", "step": 2})
    path = tmp_path / "field.safetensors"
    write_checkpoint(path, wanted)
    found = read_checkpoint(path, field)
    assert (found.field, found.sampling, found.notes) == (field, SAMPLING, wanted.notes)
    assert np.array_equal(found.T_unit_world, matrix)
    assert found.state.keys() == wanted.state.keys()
    for name, value in wanted.state.items():
        assert found.state[name].dtype == value.dtype and np.array_equal(found.state[name], value), name
        assert found.state[name].shape == value.shape, name
    again = tmp_path / "again.safetensors"
    write_checkpoint(again, found)
    assert again.read_bytes() == path.read_bytes()
    # What is finished has the field and where it is occupied, and shows the same.
    finished = found.finished().state
    assert not any(name.startswith(("adam.", "counters", "running")) for name in finished)
    opened = backend_of(field)
    opened.load_state(finished)
    view = ball_views()[0]
    assert np.array_equal(rendered(opened, view).rgb, rendered(backend, view).rgb)


def test_native_and_torch_go_on_from_each_other():
    from nerfrecon.backends.native import NativeBackend
    from nerfrecon.options import LossOptions, OptimiserOptions

    try:
        native = NativeBackend(DENSITY, SAMPLING, LossOptions(), OptimiserOptions(), ball_views(), threads=1)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    torch = backend_of()
    native.pace = torch.pace
    torch.steps(20)
    native.load_state(torch.state())
    view = ball_views()[1]
    there = native.render(view.camera, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(there.rgb, rendered(torch, view).rgb, atol=2e-4)
    for backend in (native, torch):
        backend.steps(6)
    ours, theirs = torch.state(), native.state()
    assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in theirs.items()}
    assert np.array_equal(ours["counters"], theirs["counters"])
    difference = np.abs(ours["grid.table"] - theirs["grid.table"])
    assert np.mean(difference) < 1e-3 * np.abs(ours["grid.table"]).mean()
    back = backend_of()
    back.load_state(theirs)
    back.steps(1)


def test_what_it_cannot_be_is_one_line(tmp_path):
    path = tmp_path / "field.safetensors"
    with pytest.raises(BadInput, match="no such file"):
        read_checkpoint(path)
    write_checkpoint(path, Checkpoint(DENSITY, SAMPLING, {"a": np.zeros(3, np.float32)}))
    with pytest.raises(BadInput, match=r"of type density, not sdf; set field\.type=density"):
        read_checkpoint(path, SDF)
    other = DensityFieldOptions(grid=GRID.model_copy(update={"log2_table": 13}))
    with pytest.raises(BadInput, match=r"log2_table=12, not 13; set field\.grid\.log2_table=12"):
        read_checkpoint(path, other)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadInput, match="damaged"):
        read_checkpoint(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, str(path))
    with pytest.raises(BadInput, match="not of nerfrecon"):
        read_checkpoint(path)
    for header in ({"version": 9}, {"version": 1}, {"version": 1, "field": {"type": "cube"}}):
        save_file({"a": np.zeros(3, np.float32)}, str(path), {"nerfrecon": json.dumps(header)})
        with pytest.raises(BadInput, match=r"version 9|header that cannot be read"):
            read_checkpoint(path)
