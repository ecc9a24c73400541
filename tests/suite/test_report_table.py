"""Figures and tables: digits for people, exact values for machines."""

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from rich.console import Console

from suite.report.band import Band
from suite.report.metric import Metric, format_number, metrics_json
from suite.report.table import Column, Link, Table


def test_metrics_are_one_line_of_plain_json():
    line = metrics_json(
        "spine_speed",
        [
            Metric("fit_cpu_s", np.float64(0.25), "s", interval=(0.2, math.inf)),
            Metric("missing_mm", math.nan, "mm"),
            Metric("r", 1, better="higher", note="two\nlines"),
        ],
    )
    assert "\n" not in line
    strict = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert strict == {
        "name": "spine_speed",
        "metrics": {
            "fit_cpu_s": {"value": 0.25, "unit": "s", "better": "lower", "interval": [0.2, None]},
            "missing_mm": {"value": None, "unit": "mm", "better": "lower"},
            "r": {"value": 1.0, "unit": "", "better": "higher", "note": "two\nlines"},
        },
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": " a"},
        {"key": "a", "better": "smaller"},
        {"key": "a", "interval": (2.0, 1.0)},
    ],
)
def test_metric_checks_itself(wrong):
    with pytest.raises((ValueError, TypeCheckError)):
        Metric(**({"value": 1.0} | wrong))


def test_a_key_counts_once():
    with pytest.raises(ValueError, match="a_mm"):
        metrics_json("x", [Metric("a_mm", 1), Metric("a_mm", 2)])


@pytest.mark.parametrize(
    ("metric", "text", "interval"),
    [
        (Metric("a", 3.4123, "mm"), "3.41\N{NO-BREAK SPACE}mm", ""),
        (Metric("a", -17.26, "deg", interval=(-20.04, -13)), "−17.3°", "−20.0 to −13.0"),
        (Metric("a", 0.312, "mm", interval=(-0.12, 1.5)), "0.31\N{NO-BREAK SPACE}mm", "−0.12 to 1.50"),
        (Metric("n", 1200), "1200", ""),
        (Metric("a", math.nan, "mm"), "–", ""),
        (Metric("a", 4e-9, "m"), "4.00e−09\N{NO-BREAK SPACE}m", ""),
    ],
)
def test_metrics_read_with_sensible_digits(metric, text, interval):
    assert metric.text == text
    assert metric.interval_text == interval


@given(st.floats(-1e300, 1e300))
def test_formatted_numbers_stay_within_a_half_percent(value):
    back = float(format_number(value).replace("−", "-"))
    assert back == pytest.approx(value, rel=5.01e-3, abs=5.01e-7)


def test_csv_gives_exact_values_back(tmp_path):
    rows = [['a, "quoted"\nname', 1 / 3, 7, None, True], ["b", math.nan, -1, 2.5, False]]
    table = Table(["Name", Column("Angle", "deg", decimals=1), "Count", "Gap", "Ok"], rows)
    back = list(csv.reader(io.StringIO(table.write_csv(tmp_path / "t.csv").read_text())))
    assert back[0] == ["Name", "Angle [deg]", "Count", "Gap", "Ok"]
    assert back[1] == ['a, "quoted"\nname', repr(1 / 3), "7", "", "true"]
    assert back[2] == ["b", "", "-1", "2.5", "false"]


def test_html_cells_are_escaped_scoped_and_flagged():
    table = Table(["<i>", Column("x", "mm")], [["<b>&", 1.25], ["c", 10.5]], "<u>", flags=["bad", None])
    html = table.to_html()
    for raw in ("<i>", "<b>", "<u>"):
        assert raw not in html
    assert '<th scope="row"><span class="icon bad" role="img" aria-label="Problem">' in html
    assert '<td class="number">1.2</td>' in html and '<td class="number">10.5</td>' in html
    assert html.count('scope="col"') == 2


def test_rich_shows_markup_instead_of_obeying_it():
    stream = io.StringIO()
    console = Console(file=stream, width=80, color_system=None)
    console.print(Table(["Name", "x"], [["[red]a[/red]", np.float64(1.5)]], flags=["warn"]).to_rich())
    shown = stream.getvalue()
    assert "! [red]a[/red]" in shown and "1.50" in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": [["a"]]},
        {"rows": [["a", 1]], "flags": ["ok", "ok"]},
        {"rows": [["a", 1]], "flags": ["loud"]},
        {"rows": [["a", 1]], "marked": frozenset({(0, 2)})},
    ],
)
def test_table_checks_itself(wrong):
    with pytest.raises((ValueError, TypeCheckError)):
        Table(["a", "b"], **wrong)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "https://example.org", "//example.org/x", "data:text/html,x"]
)
def test_links_stay_beside_the_page(href):
    with pytest.raises(ValueError):
        Link("x", href)


@pytest.mark.parametrize(
    ("value", "word"), [(5, "below"), (20, "within"), (50, "above"), (math.nan, "not measured")]
)
def test_band_says_where_the_value_lies(value, word):
    band = Band(value, (10, 30), (value - 1, value + 1) if value == value else None)
    assert band.text.startswith(word)
    html = band.to_html()
    positions = [float(part.split('"')[0]) for part in html.split('cx="')[1:]]
    assert all(6 <= position <= 114 for position in positions)
    assert len(positions) == (value == value)


def test_band_refuses_a_reversed_range():
    with pytest.raises(ValueError):
        Band(1, (30, 10))
