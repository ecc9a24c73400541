"""Licensed bodies: a file of their layout takes the free body's place; no file is trusted."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from smpl_like import smpl_like_arrays, write_smpl_like

from suite.body import BodyPose, BodyShape, load_body
from suite.body.smpl_file import read_smpl_file
from suite.body.smpl_model import _TO_OURS, wanted_size
from suite.errors import BadInput

pytest.importorskip("anny")
smplx = pytest.importorskip("smplx", reason="smplx is not installed (extra smpl)")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smpl_like(tmp_path_factory.mktemp("smpl") / "like.pkl")


def test_shape_and_pose_agree_with_smplx(path: Path):
    body = load_body(path)
    theirs = smplx.SMPL(model_path=str(path), num_betas=2, batch_size=1, dtype=torch.float64)
    shape = BodyShape(gender=0.2, weight=0.7, height=0.4)
    person = body.shaped(shape)
    turns = {"lowerleg01.L": (60.0, 0, 0), "upperarm01.R": (10.0, 40, -20), "spine03": (5.0, 15, 8)}
    # Find their coefficients for the same person: ours are scaled at the end.
    scale = np.ptp(person.vertices[:, 2])
    pose = torch.zeros(1, 23, 3, dtype=torch.float64)
    for name, turn in turns.items():
        pose[0, body.bones.index(name) - 1] = torch.from_numpy(np.radians(np.array(turn) @ _TO_OURS))
    flat = read_smpl_file(path)
    basis = np.stack([flat["shapedirs"][:, :, k].ravel() for k in range(2)] + [flat["v_template"].ravel()], 1)
    ours = (person.vertices.astype(np.float64) @ _TO_OURS).ravel()
    a, b, c = np.linalg.lstsq(basis, ours, rcond=None)[0]
    betas = torch.tensor([[a / c, b / c]], dtype=torch.float64)
    out = theirs(
        betas=betas, body_pose=pose.reshape(1, -1), global_orient=torch.zeros(1, 3, dtype=torch.float64)
    )
    expected = c * out.vertices[0].detach().numpy() @ _TO_OURS.T
    found = person.posed(BodyPose(turns)).vertices
    assert scale == pytest.approx(wanted_size(shape)[0], abs=1e-3)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_it_is_as_tall_and_heavy_as_asked(path: Path):
    body = load_body(path)
    for shape in (BodyShape(gender=0.0, weight=0.2), BodyShape(gender=1.0, weight=0.8), BodyShape(age=0.4)):
        vertices = body.shaped(shape).vertices
        assert np.ptp(vertices[:, 2]) == pytest.approx(wanted_size(shape)[0], rel=1e-3)
    volume = [body.pose(BodyShape(weight=w), BodyPose()).volume() for w in (0.3, 0.6)]
    assert volume[1] > 1.1 * volume[0]


def test_npz_and_pickle_hold_the_same(path: Path, tmp_path: Path):
    a, b = read_smpl_file(path), read_smpl_file(write_smpl_like(tmp_path / "like.npz"))
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name])


def test_a_simulated_back_stands_on_it(path: Path):
    from spine.synthetic import SubjectConfig, simulate_subject

    subject = simulate_subject(3, SubjectConfig(body=str(path)))
    p = subject.skin_points_mm[7:]
    assert np.abs(subject.skin.sample(p[:, 0], p[:, 1]) - p[:, 2]).max() < 0.3
    assert 300 < subject.trunk_length_mm < 560 and subject.skin.observed.mean() > 0.4


class _Acts:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_a_file_that_would_act_is_refused(tmp_path: Path):
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(pickle.dumps({"v_template": _Acts()}))
    with pytest.raises(BadInput, match=r"is refused: it holds .*system"):
        load_body(bad)


def test_what_is_no_body_is_said_in_one_line(tmp_path: Path):
    with pytest.raises(BadInput, match="no such file"):
        load_body(tmp_path / "none.npz")
    short = {k: v for k, v in smpl_like_arrays().items() if k != "weights"}
    path = tmp_path / "short.pkl"
    path.write_bytes(pickle.dumps(short))
    with pytest.raises(BadInput, match="lacks weights"):
        load_body(path)
    path.write_bytes(b"not a pickle")
    with pytest.raises(BadInput):
        load_body(path)


def test_values_inside_chumpy_come_out_without_chumpy(tmp_path: Path):
    arrays = smpl_like_arrays()
    plain = pickle.dumps(np.asarray(arrays["v_template"]), protocol=2)
    # A chumpy object as its pickles hold it: class chumpy.ch.Ch, state {"x": array}.
    wrapped = b"\x80\x02cchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00x" + plain[2:-1] + b"sb."
    rest = pickle.dumps({k: v for k, v in arrays.items() if k != "v_template"}, protocol=2)
    path = tmp_path / "chumpy.pkl"
    path.write_bytes(rest[:-1] + b"X\x0a\x00\x00\x00v_template" + wrapped[2:-1] + b"s.")
    np.testing.assert_array_equal(read_smpl_file(path)["v_template"], arrays["v_template"])
