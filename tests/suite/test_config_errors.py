"""Bad configurations: every fault is reported, at its exact place, all at once."""

# ruff: noqa: E501 (a problem is one line, however long)

import string
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from suite.config import Config, load_config
from suite.errors import ConfigError


class Backbone(Config):
    name: str = "resnet"
    pretrained: bool = True


class Model(Config):
    backbone: Backbone = Backbone()


class Sgd(Config):
    type: Literal["sgd"] = "sgd"
    lr: float = 0.1


class Adam(Config):
    type: Literal["adam"] = "adam"
    lr: float = 1e-3
    name: str = "adam"


class Layer(Config):
    width: int = 1
    kind: Literal["conv", "linear"] = "conv"


class Train(Config):
    epochs: int = 1
    optimizer: Annotated[Sgd | Adam, Field(discriminator="type")] = Adam()
    layers: tuple[Layer, ...] = (Layer(),)
    limit: int | float | None = None

    @model_validator(mode="after")
    def check(self) -> "Train":
        if self.epochs == 13:
            raise ValueError("thirteen epochs bring bad luck")
        return self


class Root(Config):
    model: Model = Model()
    train: Train = Train()
    stages: dict[str, Layer] = Field(default={})


class Needs(Config):
    train: Train
    seed: int


def problems(folder: Path, text: str, *overrides: str, model: type[Config] = Root, **bases: str) -> list[str]:
    """The problems with ``bad.yaml``, and ``<base>.yaml`` for each base, with bare file names."""
    for name, content in {"bad": text, **bases}.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(model, folder / "bad.yaml", overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_the_errors_as_they_should_read(tmp_path: Path):
    text = "# settings\n\nmodel:\n  backbone:\n    pretraned: true\n\ntrain:\n  epochs: ten\n"
    assert problems(tmp_path, text, "train.optimizer.nmae=adamw") == [
        "bad.yaml:5:5: model.backbone.pretraned: unknown key; did you mean 'pretrained'? (allowed: name, pretrained)",
        "bad.yaml:8:3: train.epochs: Input should be a valid integer (got 'ten')",
        "override 'train.optimizer.nmae=adamw': unknown key; did you mean 'name'? (allowed: type, lr, name)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: {epochs: '5'}", "bad.yaml:1:9: train.epochs: Input should be a valid integer (got '5')"),
        ("train: {epochs: true}", "bad.yaml:1:9: train.epochs: Input should be a valid integer (got true)"),
        ("train: {epochs: 1e3}", "bad.yaml:1:9: train.epochs: Input should be a valid integer (got 1000.0)"),
        (
            "model: {backbone: {pretrained: no}}",
            "bad.yaml:1:20: model.backbone.pretrained: Input should be a valid boolean (got 'no')",
        ),
        (
            "train:\n  limit: [1]",
            "bad.yaml:2:3: train.limit: Input should be a valid integer or a valid number (got a list)",
        ),
        (
            "train:\nmodel: {}",
            "bad.yaml:1:1: train: Input should be a mapping (got null; leave the key out to use its default)",
        ),
        (
            "train: {optimizer: {lr: 1}}",
            "bad.yaml:1:9: train.optimizer: no 'type' given (allowed: sgd, adam)",
        ),
        (
            "train:\n  optimizer:\n    type: adm",
            "bad.yaml:3:5: train.optimizer.type: unknown type 'adm'; did you mean 'adam'? (allowed: sgd, adam)",
        ),
        (
            "train: {optimizer: {type: sgd, name: x}}",
            "bad.yaml:1:32: train.optimizer.name: unknown key (allowed: type, lr)",
        ),
        (
            "train:\n  layers:\n  - width: 1\n  - kind: convv",
            "bad.yaml:4:5: train.layers.1.kind: Input should be 'conv' or 'linear' (got 'convv'); did you mean 'conv'?",
        ),
        ("train:\n  layers:\n  - 7", "bad.yaml:3:5: train.layers.0: Input should be a mapping (got 7)"),
        (
            "stages:\n  one: {}\n  a.b: {widht: 2}",
            "bad.yaml:3:9: stages[a.b].widht: unknown key; did you mean 'width'? (allowed: width, kind)",
        ),
        ("train:\n  epochs: 13", "bad.yaml:1:1: train: thirteen epochs bring bad luck"),
        ("- 1\n- 2", "bad.yaml:1:1: expected 'key: value' lines, got a list"),
        (
            "train: !!python/name:os.system ''",
            "bad.yaml:1:8: train: the tag !!python/name:os.system is not allowed; ",
        ),
        ("train: {epochs: !!int x}", "bad.yaml:1:17: train.epochs: the tag !!int does not fit 'x'"),
        ("train: &t {layers: *t}", "bad.yaml:1:8: train.layers: an alias that contains itself"),
        ("train: {<<: 3}", "bad.yaml:1:9: train: '<<' takes an alias of a mapping, or a list of them"),
        ("? [a, b]\n: 1", "bad.yaml:1:3: a key must be a single word or number"),
        ("train: {epochs: [}", "bad.yaml:1:18: not valid YAML: "),
        ("a: 1\n--- \nb: 2\n", "bad.yaml:2:1: not valid YAML: "),
        ("model: {}\nnote: a\x07b", "bad.yaml:2:8: the character '\\x07' is not allowed in YAML"),
        ("train: {epochs: " + "[" * 3000, "bad.yaml:1:1: nested too deeply"),
    ],
)
def test_one_fault_is_one_problem_at_its_place(tmp_path: Path, text: str, expected: str):
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_aliases_cannot_blow_up(tmp_path: Path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 100000 values" in problems(tmp_path, "\n".join(lines))[0]


def test_keys_written_twice_are_refused_with_both_places(tmp_path: Path):
    text = "train: {epochs: 1}\nmodel: {}\ntrain:\n  epochs: 2\nstages: {a: {}, a: {}}\n"
    assert problems(tmp_path, text) == [
        f"bad.yaml:3:1: train: the key is here twice; first at {tmp_path}/bad.yaml:1:1".replace(
            f"{tmp_path}/", ""
        ),
        "bad.yaml:5:17: stages.a: the key is here twice; first at bad.yaml:5:10",
    ]


def test_what_is_required_is_missed_at_its_section(tmp_path: Path):
    assert problems(tmp_path, "# nothing\n", model=Needs) == [
        "bad.yaml:1:1: train: required, but not given",
        "bad.yaml:1:1: seed: required, but not given",
    ]
    with pytest.raises(ConfigError) as caught:
        load_config(Needs)
    assert caught.value.problems[1] == "configuration: seed: required, but not given"


def test_faults_are_found_in_the_file_that_has_them(tmp_path: Path):
    found = problems(
        tmp_path,
        "_base_: one.yaml\ntrain:\n  epocs: 3\n",
        "train.layers.0.widt=1",
        one="_base_: two.yaml\nmodel:\n  backbone: {nam: x}\n",
        two="\n\ntrain: {epochs: three}\nmodel: 3\n",
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "bad.yaml:3:3",
        "one.yaml:3:14",
        "two.yaml:3:9",
        "override 'train.layers.0.widt=1'",
    ]


@pytest.mark.parametrize(
    ("text", "bases", "expected"),
    [
        ("_base_: b.yaml", {"b": "_base_: bad.yaml"}, "b.yaml:1:9: _base_: goes round in a circle: bad.yaml -> b.yaml -> bad.yaml"),
        ("_base_: bad.yaml", {}, "bad.yaml:1:9: _base_: goes round in a circle: bad.yaml -> bad.yaml"),
        ("_base_: comon.yaml", {"common": ""}, "bad.yaml:1:9: _base_: comon.yaml: no such file; did you mean 'common.yaml'?"),
        ("_base_: {a: 1}", {}, "bad.yaml:1:1: _base_: expected a file name or a list of them"),
        ("model: {_base_: x.yaml}", {}, "bad.yaml:1:9: model._base_: unknown key (allowed: backbone)"),
    ],
)  # fmt: skip
def test_bad_inheritance(tmp_path: Path, text: str, bases: dict[str, Any], expected: str):
    assert problems(tmp_path, text, **bases) == [expected]


def test_faults_of_a_shared_base_are_said_once(tmp_path: Path):
    shared = "_base_: root.yaml\n"
    found = problems(
        tmp_path, "_base_: [one.yaml, two.yaml]\n", one=shared, two=shared, root="train: {}\ntrain: {}\n"
    )
    assert len(found) == 1


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file$"):
        load_config(Root, tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(Root, tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"model: \xe9\n")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load_config(Root, tmp_path / "latin.yaml")


def test_bad_references_are_named_with_their_place(tmp_path: Path):
    text = """\
train:
  epochs: ${train.epohs}
  limit: ${train.layers.7.width}
  layers: [{width: "${train.optimizer}0"}, {kind: "${model.}"}, {kind: "${open"}]
model:
  backbone: {name: "${model.backbone.name}"}
stages:
  a: ${stages.b}
  b: {width: "${stages.c.width}"}
  c: ${stages.a}
"""
    found = problems(tmp_path, text, "train.optimizer={type: sgd}")
    assert found == [
        "bad.yaml:2:11: train.epochs: ${train.epohs} refers to no key; did you mean ${train.epochs}?",
        "bad.yaml:3:10: train.limit: ${train.layers.7.width} refers to no key",
        "bad.yaml:4:20: train.layers.0.width: ${train.optimizer} is a mapping, it cannot stand inside a string",
        "bad.yaml:4:51: train.layers.1.kind: ${model.} is not a reference; write ${section.key}",
        "bad.yaml:4:72: train.layers.2.kind: '${' without a closing brace; a literal one is '$${'",
        "bad.yaml:6:20: model.backbone.name: the reference goes round in a circle: "
        "model.backbone.name -> model.backbone.name",
        "bad.yaml:10:6: stages.c: the reference goes round in a circle: "
        "stages.a -> stages.b -> stages.b.width -> stages.c -> stages.a",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train", "expected key=value; write key=value, such as train.epochs=10"),
        ("=3", "expected key=value; write key=value, such as train.epochs=10"),
        ("train..epochs=3", "'train..epochs' is not a dotted key; write key=value, such as train.epochs=10"),
        ("trian.epochs=3", "trian: unknown key; did you mean 'train'? (allowed: model, train, stages)"),
        ("train.epochs=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("train.epochs=x", "Input should be a valid integer (got 'x')"),
        ("train[epochs]=x", "Input should be a valid integer (got 'x')"),
        ("train.epochs=${x.y}", "${x.y} refers to no key"),
        ("train.layers.1.width=3", "train.layers is a list with 1 item (indices 0 to 0), got '1'"),
        ("train.layers[0].widht=3", "unknown key; did you mean 'width'? (allowed: width, kind)"),
        ("train.layers.first.width=3", "train.layers is a list with 1 item (indices 0 to 0), got 'first'"),
        ("train.layers={width: 1}", "Input should be a valid array (got a mapping)"),
        ("train.epochs.more=3", "train.epochs is a single value and has no keys; set train.epochs as a whole"),
        ("model.backbone={nmae: x}", "model.backbone.nmae: unknown key; did you mean 'name'? (allowed: name, pretrained)"),
    ],
)  # fmt: skip
def test_bad_overrides_are_named_by_their_own_text(override: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        load_config(Root, None, [override])
    found = caught.value.problems
    assert found == (f"override {override!r}: {expected}",)


def test_an_override_cannot_reach_into_a_value(tmp_path: Path):
    found = problems(
        tmp_path, "train:\n  epochs: 3\nstages:\n  a: ${b}\n", "train.epochs.x=1", "stages.a.width=2"
    )
    assert (
        "override 'train.epochs.x=1': train.epochs is a single value and has no keys; set train.epochs as a whole"
        in found
    )
    assert (
        "override 'stages.a.width=2': stages.a is the reference ${b} and has no keys; set stages.a as a whole"
        in found
    )


# The law: whatever keys are wrong, wherever they stand, each is reported once, at its line and column.

words = st.text(string.ascii_letters + "_éλ", min_size=1, max_size=8).map(lambda word: f"zz{word}")
quoting = st.sampled_from(["{}", "'{}'", '"{}"'])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, str]]]:
    """A file for Root with unknown keys in it, and for each its line, column and dotted key."""
    lines: list[str] = []
    wrong: list[tuple[int, int, str]] = []

    def blank() -> None:
        lines.extend(draw(st.lists(st.sampled_from(["", "# comment", "    # indented"]), max_size=2)))

    def put_wrong(indent: int, section: str) -> None:
        for word in draw(st.lists(words, max_size=2, unique=True)):
            blank()
            wrong.append((len(lines) + 1, indent + 1, f"{section}{word}"))
            value = draw(st.sampled_from(["1", "x", "[1]", "{a: b}"]))
            lines.append(f"{' ' * indent}{draw(quoting).format(word)}: {value}")

    step = draw(st.integers(1, 4))
    put_wrong(0, "")
    lines.append("model:")
    put_wrong(step, "model.")
    lines.append(" " * step + "backbone:")
    lines.append(" " * 2 * step + "name: x")
    put_wrong(2 * step, "model.backbone.")
    lines.append("train:")
    lines.append(" " * step + "layers:")
    for index in range(draw(st.integers(1, 3))):
        lines.append(" " * step + "- width: 3")
        put_wrong(step + 2, f"train.layers.{index}.")
    put_wrong(step, "train.")
    flow = draw(st.lists(words, max_size=3, unique=True))
    line = "stages: {s: {"
    for word in flow:
        wrong.append((len(lines) + 1, len(line) + 1, f"stages.s.{word}"))
        line += f"{word}: 1, "
    lines.append(line + "}}")
    return "\n".join(lines) + "\n", wrong


def places(found: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(problem.split(": ")[:3]) for problem in found]


def load_bad(path: Path, *overrides: str) -> tuple[str, ...]:
    try:
        load_config(Root, path, overrides)
    except ConfigError as error:
        return error.problems
    return ()


@settings(max_examples=50)
@given(files())
def test_every_unknown_key_is_reported_at_its_place(tmp_path_factory: Any, case: Any):
    text, wrong = case
    file = tmp_path_factory.mktemp("law") / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    expected = [(f"{file}:{line}:{column}", key) for line, column, key in sorted(wrong)]
    assert [place[:2] for place in places(load_bad(file))] == expected
    assert all("unknown key" in problem for problem in load_bad(file))


@settings(max_examples=50)
@given(files(), files(), st.lists(words, max_size=3, unique=True))
def test_in_inherited_files_and_overrides_too(tmp_path_factory: Any, one: Any, two: Any, words: list[str]):
    folder = tmp_path_factory.mktemp("law")
    text, wrong = one
    (folder / "one.yaml").write_text("_base_: two.yaml\n" + text, encoding="utf-8")
    (folder / "two.yaml").write_text(two[0], encoding="utf-8")
    mine = {key: (f"{folder}/one.yaml", line + 1, column) for line, column, key in wrong}
    layers = {key: place for key, place in mine.items() if key.startswith("train.layers.")}
    base = {key: (f"{folder}/two.yaml", line, column) for line, column, key in two[1]}
    base = {
        key: place for key, place in base.items() if not key.startswith("train.layers.")
    }  # lists are replaced
    overrides = [f"train.layers[0].{word}=1" for word in words]
    expected = [(f"{f}:{line}:{c}", key) for key, (f, line, c) in (base | mine | layers).items()]
    given_keys = {f"train.layers.0.{word}" for word in words}
    expected = [(place, key) for place, key in expected if key not in given_keys]
    found = load_bad(folder / "one.yaml", *overrides)
    in_files = [place[:2] for place in places(found) if not place[0].startswith("override")]
    assert sorted(in_files) == sorted(expected)
    assert [place[0] for place in places(found) if place[0].startswith("override")] == [
        f"override {override!r}" for override in overrides
    ]
