"""The index over runs names every run it was given, however that run ended."""

import re

import pytest

from suite.errors import BadInput
from suite.report.index import metrics_table, write_index
from suite.report.metric import Metric
from suite.run import Run


def finished(folder, *metrics, report=True):
    with Run.create(folder, command=["/somewhere/spine", "fit", "a back.ply"]) as run:
        run.add_metrics(metrics)
        if report:
            run.path("report.html").write_text("<p>")
    return folder


def test_every_run_is_listed_with_its_state(tmp_path):
    good = finished(tmp_path / "runs" / "good one", Metric("rms_mm", 3.0, "mm"))
    bare = finished(tmp_path / "runs" / "bare", Metric("rms_mm", 2.0, "mm"), report=False)
    with pytest.raises(RuntimeError), Run.create(tmp_path / "runs" / "failed") as run:
        run.path("notes.txt").write_text("x")
        raise RuntimeError("did not <converge>")
    Run.create(tmp_path / "runs" / "killed")
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    out = write_index(
        [good, bare, tmp_path / "runs/failed", tmp_path / "runs/killed", broken, tmp_path / "absent"],
        tmp_path / "pages" / "index.html",
    )
    html = out.read_text()
    rows = [row for row in re.findall(r"<tr.*?</tr>", html) if 'scope="row"' in row][:6]
    states = [
        "finished",
        "finished",
        "failed: RuntimeError: did not &lt;converge&gt;",
        "unfinished",
        "cannot be read",
    ]
    for row, state in zip(rows, [*states, "cannot be read"], strict=True):
        assert state in row
    assert 'href="../runs/good%20one/report.html"' in rows[0]
    assert "spine fit &#x27;a back.ply&#x27;" in rows[0] and "/somewhere" not in rows[0]
    assert "href" not in rows[1]
    assert "run.json: not valid JSON" in html
    assert "<strong>2.00\N{NO-BREAK SPACE}mm</strong>" in html


def test_runs_of_one_name_are_told_apart(tmp_path):
    html = write_index(
        [finished(tmp_path / "a" / "run"), finished(tmp_path / "b" / "run")], tmp_path / "i.html"
    )
    assert ">a/run<" in html.read_text() and ">b/run<" in html.read_text()


def test_no_runs_is_bad_input(tmp_path):
    with pytest.raises(BadInput):
        write_index([], tmp_path / "i.html")


@pytest.mark.parametrize(
    ("values", "unit", "better", "marked"),
    [
        ((3.0, 2.0, 2.5), "mm", "lower", {1}),
        ((3.0, 2.0, 3.0), "mm", "higher", {0, 2}),
        ((3.0, 3.0, 3.0), "mm", "lower", set()),
        ((3.0, 2.0, 1.0), "mm", None, set()),
        ((3.0, float("nan"), 4.0), "mm", "lower", {0}),
        ((3.0, float("nan"), float("nan")), "mm", "lower", set()),
    ],
)
def test_the_best_is_marked_by_direction(values, unit, better, marked):
    table = metrics_table(["a", "b", "c"], [[Metric("m", value, unit, better)] for value in values])
    assert {column - 2 for _, column in table.marked} == marked


def test_other_units_are_not_compared():
    table = metrics_table(["a", "b"], [[Metric("m", 3, "mm")], [Metric("m", 0.2, "cm"), Metric("n", 1)]])
    assert not table.marked
    assert [row[0] for row in table.rows] == ["m", "n"] and table.rows[1][2] is None
