import pickle

import pytest

from suite.errors import BackendUnavailable, BadInput, ConfigError, SuiteError, did_you_mean


def test_a_bad_input_reads_as_one_line():
    error = BadInput("no back found", where="scan.ply", hint="turn the subject round")
    assert str(error) == "scan.ply: no back found; turn the subject round"
    assert str(BadInput("no back found")) == "no back found"
    assert str(BadInput("no back found", hint="turn round")) == "no back found; turn round"


def test_a_config_error_has_a_line_for_each_problem():
    error = ConfigError(["a.yaml:1:1: x: unknown key", "a.yaml:2:1: y: unknown key"])
    assert str(error).splitlines() == list(error.problems)
    assert isinstance(error, BadInput)


def test_an_unavailable_backend_says_why():
    error = BackendUnavailable("open3d", "it is not installed", "pip install it")
    assert str(error) == "open3d is not available: it is not installed; pip install it"


@pytest.mark.parametrize(
    ("error", "code"),
    [(SuiteError("x"), 1), (BadInput("x"), 2), (ConfigError(["x"]), 2), (BackendUnavailable("x", "y"), 3)],
)
def test_exit_codes_and_pickling(error: SuiteError, code: int):
    assert error.exit_code == code
    again = pickle.loads(pickle.dumps(error))  # as when a worker process fails
    assert type(again) is type(error)
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("pretraned", "pretrained"),
        ("Pretrained", "pretrained"),
        ("learning-rate", "learning_rate"),
        ("zzz", None),
    ],
)
def test_did_you_mean(word: str, meant: str | None):
    assert did_you_mean(word, ["pretrained", "learning_rate", "name"]) == meant
