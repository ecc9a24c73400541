"""Which backend is taken, and what is said about it."""

from __future__ import annotations

import pytest

from nerfrecon.backends import choose as choose_module
from nerfrecon.backends.choose import choose
from nerfrecon.config import NerfreconConfig
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    GridOptions,
    SdfFieldOptions,
    TrainOptions,
)
from suite.errors import BackendUnavailable

FIELD = DensityFieldOptions(grid=GridOptions(levels=3, log2_table=8, finest_resolution=32))


def config(backend="auto", **more) -> NerfreconConfig:
    train = {"backend": backend, **{k: more.pop(k) for k in ("poses", "exposure") if k in more}}
    return NerfreconConfig(**{"field": FIELD, **more, "train": TrainOptions(**train)})


def test_auto_takes_the_fastest_that_can_and_says_why(monkeypatch):
    line = choose(config()).line
    assert line.startswith("backend: ") and "\n" not in line
    assert "not tcnn: " in line or line == "backend: tcnn cuda"
    monkeypatch.setenv("SUITE_PURE", "1")
    chosen = choose(config(device="cpu"))
    if "tcnn" in line.partition("(")[0]:
        return
    assert chosen.backend.name == "torch cpu"
    assert "not native: SUITE_PURE=1 switches it off" in chosen.line


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"poses": True}, "does not refine poses"),
        ({"exposure": True, "field": SdfFieldOptions()}, "does not fit exposures"),
        ({"field": BigMlpFieldOptions(layers=2, width=8, skip=1)}, "no field of type big_mlp"),
    ],
)
def test_what_native_lacks_goes_to_torch_or_is_refused_when_named(asked, why, monkeypatch):
    def unavailable(*_: object) -> None:
        raise BackendUnavailable("tcnn", "none here")

    monkeypatch.setattr(choose_module, "_tcnn", unavailable)
    chosen = choose(config(**asked))
    assert chosen.backend.name == "torch cpu" and why in chosen.line and "tcnn: none here" in chosen.line
    with pytest.raises(BackendUnavailable, match=why):
        choose(config("native", **asked))


def test_a_named_backend_that_is_missing_says_its_cause(monkeypatch):
    monkeypatch.setenv("SUITE_PURE", "1")
    with pytest.raises(BackendUnavailable, match="SUITE_PURE=1") as error:
        choose(config("native"))
    assert error.value.exit_code == 3 and "\n" not in str(error.value)
    with pytest.raises(BackendUnavailable, match="cpu"):
        choose(config("torch", device="nothing:7"))
