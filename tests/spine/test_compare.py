"""Runs over time: what counts as a change, and what cannot be compared."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from known_landmarks import fitted

from spine.compare import change_table, compared, read_visit, write_comparison
from spine.output import result_dict
from suite.errors import BadInput
from suite.run import Run


@pytest.fixture(scope="module")
def document() -> dict:
    from spine.output import _finite

    return json.loads(json.dumps(_finite(result_dict(fitted()))))


def save(folder, document, **indices):
    """A run folder whose indices are changed: key = (value, low, high) or a dict."""
    data = json.loads(json.dumps(document))
    for key, change in indices.items():
        if isinstance(change, tuple):
            change = {"value": change[0], "interval": list(change[1:]), "sdc": None}
        data["indices"][key] |= change
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(data))
    return folder


def test_the_same_scan_twice_has_not_changed(tmp_path, document):
    a, b = save(tmp_path / "a", document), save(tmp_path / "b", document)
    found = compared([a, b])
    assert [v.label for v in found.visits] == ["a", "b"]
    measured = {i.key for i in fitted().indices.values() if i.value is not None}
    assert {c.key for c in found.changes} == measured
    assert all(c.change == 0 and not c.is_real for c in found.changes)
    assert not any(change_table(found).flags)


def test_a_change_is_the_last_less_the_first_with_both_intervals(tmp_path, document):
    a = save(tmp_path / "a", document, cobb_deg=(20.0, 16.0, 23.0))
    middle = save(tmp_path / "m", document, cobb_deg=(90.0, 80.0, 99.0))
    b = save(tmp_path / "b", document, cobb_deg=(26.0, 22.0, 29.0))
    change = next(c for c in compared([a, middle, b]).changes if c.key == "cobb_deg")
    assert change.change == 6
    assert change.interval == pytest.approx((6 - math.hypot(4, 3), 6 + math.hypot(3, 4)))
    assert change.is_real
    back = next(c for c in compared([b, a]).changes if c.key == "cobb_deg")
    assert back.change == -6 and back.is_real
    assert change.interval is not None
    assert back.interval == pytest.approx((-change.interval[1], -change.interval[0]))


def test_the_smallest_detectable_change_decides_where_it_is_known(tmp_path, document):
    narrow = {"interval": [19.9, 20.1], "sdc": 7.0}
    a = save(tmp_path / "a", document, cobb_deg={"value": 20.0, **narrow})
    b = save(tmp_path / "b", document, cobb_deg={"value": 26.0, **narrow, "interval": [25.9, 26.1]})
    c = save(tmp_path / "c", document, cobb_deg={"value": 28.0, **narrow, "interval": [27.9, 28.1]})
    assert not next(x for x in compared([a, b]).changes if x.key == "cobb_deg").is_real
    assert next(x for x in compared([a, c]).changes if x.key == "cobb_deg").is_real


def test_azimuths_change_the_short_way_round(tmp_path, document):
    key = "pmc_main_thoracic_azimuth_deg"
    a, b = (
        save(tmp_path / n, document, **{key: (v, v - 5, v + 5)}) for n, v in (("a", 175.0), ("b", -175.0))
    )
    assert next(c for c in compared([a, b]).changes if c.key == key).change == pytest.approx(10)


def test_what_only_one_run_has_is_left_out(tmp_path, document):
    a = save(tmp_path / "a", document)
    b = save(tmp_path / "b", document, cobb_deg={"value": None, "interval": None})
    assert "cobb_deg" not in {c.key for c in compared([a, b]).changes}


def test_the_trace_is_that_of_the_result(tmp_path, document):
    visit = read_visit(save(tmp_path / "a", document), "a", "#000000")
    assert np.allclose(visit.trace.centre_mm, fitted().fit.T_body_vertebra[6:, :3, 3])
    assert np.allclose(visit.trace.centre_interval_mm, fitted().intervals.centre_mm[:, 6:])
    assert np.allclose(visit.trace.axial_interval_deg, fitted().intervals.axial_deg[:, 6:])


def test_page_json_and_table_are_written(tmp_path, document):
    a = save(tmp_path / "first", document, cobb_deg=(20.0, 19.0, 21.0))
    b = save(tmp_path / "second", document, cobb_deg=(29.0, 28.0, 30.0))
    with Run.create(tmp_path / "out") as run:
        page = write_comparison(run, compared([a, b]))
    text = page.read_text()
    assert "More than error: Cobb angle, primary curve +9.0°." in text and "not a medical device" in text
    assert text.count('<svg class="plot"') == 4 and "first" in text and "second" in text
    data = json.loads((tmp_path / "out" / "comparison.json").read_text())
    cobb = next(c for c in data["changes"] if c["key"] == "cobb_deg")
    assert cobb["change"] == 9 and cobb["more_than_error"] is True
    assert (tmp_path / "out" / "changes.csv").read_text().startswith("Index,first,second,Change")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "no result of spine fit"),
        ('{"format": "spine-result", "version": 99}', "no result of spine fit"),
        ('{"format": "spine-result", "version": 1}', "damaged"),
    ],
)
def test_what_is_no_result_is_refused_by_name(tmp_path, document, text, what):
    good = save(tmp_path / "good", document)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "result.json").write_text(text)
    with pytest.raises(BadInput, match=what) as caught:
        compared([good, bad])
    assert "bad" in str(caught.value.where)


def test_too_few_runs_and_folders_without_a_result_are_refused(tmp_path, document):
    good = save(tmp_path / "good", document)
    with pytest.raises(BadInput, match="1 run"):
        compared([good])
    with pytest.raises(BadInput, match=r"no result\.json here"):
        compared([good, tmp_path])
    broken = save(tmp_path / "broken", document)
    data = json.loads((broken / "result.json").read_text())
    data["vertebrae"][4]["T_body_vertebra"][0][0] = 3.0
    (broken / "result.json").write_text(json.dumps(data))
    with pytest.raises(BadInput, match="not a rotation"):
        compared([good, broken])


def test_another_primary_curve_is_said(tmp_path, document):
    a, b = save(tmp_path / "a", document), save(tmp_path / "b", document)
    data = json.loads((b / "result.json").read_text())
    data["curves"][0] |= {"side": "left", "region": "lumbar"}
    (b / "result.json").write_text(json.dumps(data))
    with Run.create(tmp_path / "out") as run:
        text = write_comparison(run, compared([a, b])).read_text()
    assert "The primary curve is not the same one" in text and "last left lumbar" in text


def test_runs_of_one_name_are_told_apart(tmp_path, document):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    a, b = save(tmp_path / "x" / "fit", document), save(tmp_path / "y" / "fit", document)
    assert [v.label for v in compared([a, b]).visits] == ["fit (1)", "fit (2)"]
