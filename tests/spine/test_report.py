"""The page: what it must say, what it must never say, and drawings that show the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from known_landmarks import fitted, simulated

from spine.config import ReportOptions
from spine.measure.angles import C7
from spine.report import curves, maps, tables, write_report
from spine.report.scene import scene
from spine.report.summary import interval_text, summary_table, usual_text, value_text
from spine.report.trace import trace_of


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    path = write_report(tmp_path_factory.mktemp("page") / "report.html", fitted(), ReportOptions(scene=False))
    return path.read_text()


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.replace("\N{NO-BREAK SPACE}", " ")))


def test_the_page_says_plainly_what_it_is_and_is_not(page):
    text = plain(page)
    for words in (
        "assistive",
        "not a medical device",
        "does not replace radiographs",
        "7–8 mm",
        "adolescents with scoliosis",
        "one structured-light scanner",
        "90 % interval",
    ):
        assert words in text, words


def test_the_page_has_every_part(page):
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert headings[:3] == ["At a glance", "Curves", "Surface of the back"]
    assert headings[3:] == ["Indices", "Vertebrae", "How sure this is", "Definitions"]
    assert page.count('<svg class="plot"') == 7
    for index in fitted().indices.values():
        assert index.title.replace("'", "&#x27;") in page
    for check in fitted().flags:
        assert check.text.replace("'", "&#x27;") in page


def test_nothing_on_the_page_names_the_file_or_the_person(page):
    assert str(simulated()) not in page and simulated().name not in page and "scan.ply" not in page
    shown = re.sub(r'xmlns(:\w+)?="[^"]+"|data:[^"]+', "", page)
    assert "http" not in shown.split("</style>")[1]


def test_a_pseudonym_is_printed_and_escaped(tmp_path):
    options = ReportOptions(scene=False, subject="P-07 <b>")
    assert "P-07 &lt;b&gt;" in write_report(tmp_path / "r.html", fitted(), options).read_text()


def test_the_scene_has_its_layers_and_the_page_its_script(tmp_path):
    layers = {
        layer["name"]: layer["visible"] for layer in scene(fitted(), 3000, "asymmetry").scene()["layers"]
    }
    assert layers == {
        "Spine": True, "Skin": True, "Spinous line": True, "Landmarks": True, "Heat map": False,
    }  # fmt: skip
    scene(fitted(), 3000, "curvature")
    text = write_report(tmp_path / "r.html", fitted(), ReportOptions(skin_vertices=2000)).read_text()
    assert "In three dimensions" in text and text.count("Plotly.newPlot") >= 1


def test_a_result_without_dimples_or_rotation_still_has_its_page(tmp_path):
    landmarks = fitted().landmarks
    line = replace(landmarks.line, rotation_rad=np.full(len(landmarks.line.y_mm), np.nan))
    bare = replace(
        fitted(), landmarks=replace(landmarks, dimple_left_mm=None, dimple_right_mm=None, line=line)
    )
    assert write_report(tmp_path / "r.html", bare, ReportOptions(scene=False)).exists()
    assert len(scene(bare, 2000, "asymmetry").scene()["traces"]) == len(
        scene(fitted(), 2000, "asymmetry").scene()["traces"]
    )


def test_the_coronal_drawing_shows_the_centres_and_states_its_stretch():
    figure, stretch = curves.coronal_figure([trace_of(fitted())], fitted().landmarks.line)
    axes = figure.figure.axes[0]
    drawn = next(line for line in axes.get_lines() if line.get_label() == "spine")
    centre = fitted().fit.T_body_vertebra[C7:, :3, 3]
    assert np.allclose(np.column_stack([drawn.get_xdata(), drawn.get_ydata()]), centre[:, :2])
    figure.figure.draw_without_rendering()
    box = axes.get_window_extent()
    true = (box.width / np.ptp(axes.get_xlim())) / (box.height / np.ptp(axes.get_ylim()))
    assert stretch == pytest.approx(true, rel=0.1)


def test_the_sagittal_drawing_is_true_to_scale_with_the_front_on_the_right():
    figure = curves.sagittal_figure([trace_of(fitted())], fitted().landmarks.line, 450.0)
    axes = figure.figure.axes[0]
    figure.figure.draw_without_rendering()
    box = axes.get_window_extent()
    across, up = box.width / np.ptp(axes.get_xlim()), box.height / np.ptp(axes.get_ylim())
    assert across == pytest.approx(up, rel=0.01)
    by_label = {line.get_label(): line for line in axes.get_lines()}
    skin, bones = (np.median(np.asarray(by_label[name].get_xdata())) for name in ("skin", "spine"))
    assert skin < bones


def test_the_usual_sagittal_band_holds_the_middle_of_the_norms_and_scales_with_the_trunk():
    from spine.chain import SpinePose, forward_kinematics, standing_template

    y, low, high = curves.usual_sagittal(440)
    assert (low <= high).all() and low[0] == pytest.approx(0, abs=1e-9)
    template = standing_template(440.0, kyphosis_deg=35.0, lordosis_deg=50.0)
    c = forward_kinematics(template, SpinePose())[C7:, 1:3, 3]
    c = c - c[-1]
    up = c[0] / np.linalg.norm(c[0])
    front = -(c @ np.array([-up[1], up[0]]))
    inside = np.interp(c @ up, y, low) - 2, np.interp(c @ up, y, high) + 2
    assert ((front >= inside[0]) & (front <= inside[1])).all()
    assert curves.usual_sagittal(880 // 2)[2] is high
    assert np.ptp(curves.usual_sagittal(528)[0]) == pytest.approx(1.2 * np.ptp(y), rel=0.02)


def test_the_asymmetry_map_is_odd_about_the_line():
    height, values = maps.asymmetry(fitted())
    line = fitted().landmarks.line
    x0 = np.interp(height.y_mm, line.y_mm, line.x_mm)
    row = int(np.argmin(np.abs(height.y_mm - 250)))
    offset = np.arange(10.0, 90.0, 10.0)
    right = np.interp(x0[row] + offset, height.x_mm, values[row])
    left = np.interp(x0[row] - offset, height.x_mm, values[row])
    assert np.allclose(right, -left, atol=0.4) and np.abs(right).max() > 0.5
    assert np.isnan(values).any() and np.isfinite(values).mean() > 0.2


def test_tables_show_value_interval_and_band():
    index = replace(
        fitted().indices["cobb_deg"], value=29.44, interval=(20.04, 41.0), norm=(0.0, 10.0), unit="deg"
    )
    assert value_text(index) == "29.4°"
    assert interval_text(index) == "20.0\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}41.0"
    assert usual_text(index) == "up\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}10"
    missing = replace(index, value=None, note="not seen", interval=None)
    assert value_text(missing) == "–" and interval_text(missing) == ""
    grouped = [row[0] for table in tables.index_tables(fitted().indices) for row in table.rows]
    assert grouped == [index.title for index in fitted().indices.values()]
    assert [row[0] for row in tables.vertebra_table(fitted().indices).rows] == [
        row.level for row in fitted().indices.vertebrae
    ]
    assert "Cobb angle, primary curve" in summary_table(fitted()).to_csv()
