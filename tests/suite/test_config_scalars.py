import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.config.nodes import Place, join_key, split_key, split_override, to_plain
from suite.config.reader import read_yaml
from suite.config.scalars import format_scalar, parse_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-7", -7),
        ("+7", 7),
        ("017", 17),
        ("0o17", 15),
        ("0xFF", 255),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        *((word, word) for word in ("no", "on", "yes", "off", "y", "N", "1_000", "12:30:00", "2024-01-01")),
        *(
            (word, word)
            for word in ("0b1", "e3", ".", "-", "+.e1", "nan", "inf", "0o8", "truE", "1e", "9" * 5000)
        ),
    ],
)
def test_the_core_schema_of_yaml_1_2(text: str, value: object):
    got = parse_scalar(text)
    assert got == value
    assert type(got) is type(value)


def test_not_a_number_is_one():
    assert all(math.isnan(parse_scalar(text)) for text in (".nan", ".NaN", ".NAN"))  # type: ignore[arg-type]


any_text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), any_text)


@given(scalars)
def test_what_is_written_reads_back(value: object):
    problems = []
    node = read_yaml(f"key: {format_scalar(value)}  # comment\n", Place("x"), problems)  # type: ignore[arg-type]
    assert problems == []
    assert node is not None
    got = to_plain(node)["key"]
    assert got == value
    assert type(got) is type(value)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="]", exclude_categories=["Cs"]), min_size=1), min_size=1
    )
)
def test_dotted_keys_split_as_they_were_joined(path: list[str]):
    assert split_key(join_key(path)) == tuple(path)
    assert split_override(f"{join_key(path)}=a=b") == (tuple(path), "a=b")


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[0", "a]", "a[0]b"])
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(ValueError, match="dotted key"):
        split_key(text)


def test_indices_may_be_written_both_ways():
    assert split_key("a[0].b") == split_key("a.0.b") == ("a", "0", "b")
