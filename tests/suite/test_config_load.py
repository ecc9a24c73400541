"""Files, inheritance, references and overrides of good configurations."""

import math
import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from suite.config import Config, dump, load_config, schema


class Sgd(Config):
    type: Literal["sgd"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9


class Adam(Config):
    type: Literal["adam"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


class Layer(Config):
    width: int = 64
    names: tuple[str, ...] = ()


class Train(Config):
    """How to train."""

    epochs: int = 10
    """Passes over the data."""
    optimizer: Annotated[Sgd | Adam, Field(discriminator="type")] = Adam(lr=0.5)
    layers: tuple[Layer, ...] = (Layer(), Layer(width=32))
    resume: bool | None = None


class Root(Config):
    train: Train = Train()
    out: Path = Path("runs")
    note: str = ""
    limits: dict[str, float] = Field(default={})
    steps: list[int] = Field(default=[])


def load(tmp_path: Path, text: str, *overrides: str, **bases: str):
    (tmp_path / "main.yaml").write_text(text)
    for name, base in bases.items():
        (tmp_path / f"{name}.yaml").write_text(base)
    return load_config(Root, tmp_path / "main.yaml", overrides)


def test_no_file_means_defaults_and_overrides():
    loaded = load_config(Root, None, ["train.epochs=3"])
    assert loaded.config == Root(train=Train(epochs=3))
    assert loaded.origins["train.epochs"] == "override"
    assert loaded.origins["note"] == "default"
    assert load_config(Root).config == Root()


def test_an_empty_file_means_defaults(tmp_path: Path):
    assert load(tmp_path, "# nothing yet\n").config == Root()


def test_yaml_1_2_scalars_reach_the_model(tmp_path: Path):
    config = load(tmp_path, "note: no\nlimits: {a: 1e-3, b: .inf}\nsteps: [0o17, 017, 0x1F]\n").config
    assert config.note == "no"
    assert config.limits == {"a": 1e-3, "b": math.inf}
    assert config.steps == [15, 17, 31]


def test_files_inherit_relative_to_themselves(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text("_base_: b.yaml\ntrain: {epochs: 1}\nnote: a\n")
    (tmp_path / "deep" / "b.yaml").write_text("train:\n  epochs: 2\n  resume: true\nnote: b\nout: b\n")
    (tmp_path / "c.yaml").write_text("note: c\nlimits: {x: 1}\n")
    loaded = load(tmp_path, "_base_: [deep/a.yaml, c.yaml]\nlimits: {y: 2}\n")
    assert loaded.config == Root(
        train=Train(epochs=1, resume=True), note="c", out=Path("b"), limits={"x": 1, "y": 2}
    )
    assert loaded.origins["train.resume"] == f"{tmp_path / 'deep' / 'b.yaml'}:3:3"
    assert loaded.origins["train.epochs"] == f"{tmp_path / 'deep' / 'a.yaml'}:2:9"
    assert loaded.origins["limits.y"] == f"{tmp_path / 'main.yaml'}:2:10"


def test_two_bases_may_share_a_third(tmp_path: Path):
    shared = "_base_: root.yaml\n"
    config = load(
        tmp_path,
        "_base_: [one.yaml, two.yaml]\n",
        one=shared + "note: one\n",
        two=shared,
        root="note: root\n",
    ).config
    assert config.note == "root"  # the later base wins, what it inherits included


def test_another_type_starts_the_section_afresh(tmp_path: Path):
    base = "train:\n  optimizer: {type: sgd, lr: 1.0, momentum: 0.5}\n"
    other = load(tmp_path, "_base_: base.yaml\ntrain: {optimizer: {type: adam, lr: 2.0}}\n", base=base)
    assert other.config.train.optimizer == Adam(lr=2.0)
    same = load(tmp_path, "_base_: base.yaml\ntrain: {optimizer: {type: sgd, lr: 2.0}}\n", base=base)
    assert same.config.train.optimizer == Sgd(lr=2.0, momentum=0.5)
    override = load(tmp_path, base, "train.optimizer.lr=3", "train.optimizer.type=adam")
    assert override.config.train.optimizer == Adam(lr=3)


def test_anchors_aliases_and_merge_keys(tmp_path: Path):
    text = "train: &t {epochs: 4}\nlimits:\n  <<: &l {x: 1, y: 2}\n  y: 3\nsteps: &s [1]\n"
    assert load(tmp_path, text).config.limits == {"x": 1, "y": 3}
    layers = "train:\n  layers:\n  - &l {width: 1, names: [a]}\n  - *l\n  - <<: *l\n    width: 2\n"
    expected = (Layer(width=1, names=("a",)), Layer(width=1, names=("a",)), Layer(width=2, names=("a",)))
    assert load(tmp_path, layers).config.train.layers == expected


def test_a_reference_keeps_the_type_or_joins_the_string(tmp_path: Path):
    text = """
    train: {epochs: 7, layers: [{width: 5}, "${train.layers.0}", {width: "${train.layers[0].width}"}]}
    limits: {a: "${train.epochs}", b: "${limits.a}"}
    out: runs/${note}/${train.epochs}/${limits.c}
    note: x
    """
    config = load(tmp_path, text, "limits.c=1e-3").config
    assert config.limits == {"a": 7, "b": 7, "c": 1e-3}
    assert config.out == Path("runs/x/7/0.001")
    assert [layer.width for layer in config.train.layers] == [5, 5, 5]


def test_a_reference_sees_defaults_and_looks_through_references(tmp_path: Path):
    config = load(
        tmp_path, "steps:\n- ${train.epochs}\n- ${train.layers.1.width}\nnote: ${train.optimizer.lr}ms"
    ).config
    assert config.steps == [10, 32]
    assert config.note == "0.5ms"
    text = """
    train: {optimizer: {type: sgd}, layers: ["${train.layers.1}", {width: 3}]}
    limits: {a: "${train.optimizer.lr}"}
    steps: ["${train.layers.0.width}"]
    """
    config = load(tmp_path, text).config
    assert config.limits == {"a": 0.1}
    assert config.steps == [3]


def test_a_dollar_can_be_escaped(tmp_path: Path):
    assert load(tmp_path, "note: $${x} costs $5\n").config.note == "${x} costs $5"


def test_overrides_reach_into_lists_and_defaults(tmp_path: Path):
    text = "train:\n  layers: [{width: 1}, {width: 2, names: [a, b]}]\n"
    loaded = load(
        tmp_path, text, "train.layers.0.width=9", "train.layers[1].names[0]=c", "steps=[1, 2]", "steps.1=5"
    )
    assert loaded.config.train.layers == (Layer(width=9), Layer(width=2, names=("c", "b")))
    assert loaded.config.steps == [1, 5]
    assert loaded.origins["train.layers.0.width"] == "override"
    assert loaded.origins["train.layers.1.width"] == f"{tmp_path / 'main.yaml'}:2:25"
    default = load_config(Root, None, ["train.layers.1.width=3", "train.optimizer.betas.0=0.5"]).config
    assert default.train.layers == (Layer(), Layer(width=3))
    assert default.train.optimizer == Adam(lr=0.5, betas=(0.5, 0.999))


def test_override_values_are_yaml():
    given = [
        "note='1'",
        "limits={a: 1, b: .5}",
        "limits[x.y]=2",
        "train.resume=",
        "out=a=b",
        "train.epochs= 4 ",
    ]
    config = load_config(Root, None, given).config
    assert config == Root(
        note="1", limits={"a": 1, "b": 0.5, "x.y": 2}, out=Path("a=b"), train=Train(epochs=4, resume=None)
    )


def test_a_default_with_a_dollar_brace_is_no_reference():
    class Inner(Config):
        template: str = "${user}"
        number: int = 0

    class Outer(Config):
        inner: Inner = Inner(template="${name}")

    assert load_config(Outer, None, ["inner.number=1"]).config == Outer(
        inner=Inner(template="${name}", number=1)
    )


def test_later_overrides_win():
    assert load_config(Root, None, ["train.epochs=3", "train.epochs=4"]).config.train.epochs == 4


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
floats = st.floats(allow_nan=False)
layers = st.builds(Layer, width=st.integers(), names=st.lists(text, max_size=3).map(tuple))
optimizers = st.one_of(
    st.builds(Sgd, lr=floats, momentum=floats), st.builds(Adam, lr=floats, betas=st.tuples(floats, floats))
)
roots = st.builds(
    Root,
    train=st.builds(
        Train, epochs=st.integers(), optimizer=optimizers, layers=st.lists(layers, max_size=3).map(tuple)
    ),
    out=st.text("abc/.$ {}", min_size=1).map(Path),
    note=text,
    limits=st.dictionaries(text, floats, max_size=3),
    steps=st.lists(st.integers(), max_size=4),
)


@settings(max_examples=50)
@given(roots)
def test_a_configuration_written_down_loads_equal(tmp_path_factory: pytest.TempPathFactory, root: Root):
    file = tmp_path_factory.mktemp("round") / "x.yaml"
    file.write_text(dump(root), encoding="utf-8")
    loaded = load_config(Root, file)
    assert loaded.config == root
    file.write_text(loaded.to_yaml(), encoding="utf-8")  # comments of origins change nothing
    assert load_config(Root, file).config == root


def test_every_value_has_an_origin(tmp_path: Path):
    loaded = load(tmp_path, "train:\n  layers:\n  - width: 3\n", "note=x")
    lines = [line for line in loaded.to_yaml().splitlines() if not line.endswith(":")]
    assert all(" # " in line.replace("  #", " #") for line in lines), lines
    assert set(loaded.origins.values()) == {"default", "override", f"{tmp_path / 'main.yaml'}:3:5"}


def test_the_schema_knows_fields_inheritance_and_references():
    document = schema(Root)
    assert document["additionalProperties"] is False
    assert "_base_" in document["properties"]
    train = document["$defs"]["Train"]["properties"]
    assert train["epochs"]["description"] == "Passes over the data."
    kinds = [option.get("type") for option in train["epochs"]["anyOf"]]
    assert kinds == ["integer", "string"]
    tags = train["optimizer"]["anyOf"][0]["discriminator"]["mapping"]
    assert sorted(tags) == ["adam", "sgd"]
    assert "required" not in str(document)


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Root().note = "x"  # type: ignore[misc]


def test_reading_a_configuration_needs_nothing_heavy():
    import subprocess
    import sys

    code = "import sys, suite.config; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env={**os.environ}
    )
    assert done.stdout.strip() == "[]", done.stderr
