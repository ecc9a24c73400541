"""Pages hold everything inside, escape what they are given, and never mix up two figures."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from PIL import Image

from suite.report.figure import PALETTE, drawing
from suite.report.metric import Metric
from suite.report.page import Page
from suite.report.table import Column, Table
from suite.report.view3d import View3D

NASTY = '<script>alert("1")</script> & <b>bold</b>'


class Reader(HTMLParser):
    """Collects what a browser would act on: tags, ids, and every attribute that can make a request."""

    FETCHING = ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "background", "formaction")

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.styles = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = tag
        for name, value in ((name, value or "") for name, value in attrs):
            if name == "id":
                self.ids.append(value)
            if name in self.FETCHING and tag not in ("a",):
                self.fetched.append(value)
            if name == "style":
                self.styles += value

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "style":
            self.styles += data
        elif self._inside != "script":
            self.text += data


def sine(alt=""):
    with drawing(alt=alt) as (figure, axes):
        x = np.linspace(0, 6, 50)
        axes.plot(x, np.sin(x), "o-", label="sine")
        axes.fill_between(x, np.sin(x) - 1, np.sin(x) + 1, alpha=0.2)
        axes.legend()
        axes.set_title(NASTY)
    return figure


def full_page() -> Page:
    page = Page(NASTY, subtitle=NASTY, footer=NASTY)
    page.heading(NASTY)
    page.text(NASTY)
    page.note("warn", NASTY)
    page.metrics(
        [Metric("cobb_deg", 12.3, "deg", None, note=NASTY)], {"cobb_deg": NASTY}, {"cobb_deg": "bad"}
    )
    page.table(Table([Column(NASTY, NASTY, hint=NASTY)], [[NASTY]], NASTY))
    left, right = page.columns(2, 1)
    left.figure(sine(), NASTY)
    right.image(np.zeros((4, 5, 3), np.uint8), alt=NASTY, caption=NASTY)
    page.download(NASTY, b"1,2", NASTY)
    return page


def test_text_is_never_markup():
    reader = Reader(full_page().document())
    assert reader.tags.count("script") == 0  # no scene, so no script at all
    assert "b" not in reader.tags
    assert reader.text.count('alert("1")') >= 10


def test_nothing_is_fetched():
    reader = Reader(full_page().document())
    assert reader.fetched  # the parser does see the picture and the SVG's references
    assert all(value.startswith(("data:", "#")) for value in reader.fetched)
    assert "@import" not in reader.styles
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)\)", reader.styles))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', full_page().document())
    assert policy is not None and policy.group(1).startswith("default-src 'none'")


def test_figures_do_not_share_ids():
    page = Page("Two of the same")
    page.figure(sine(), "first")
    page.figure(sine(), "second")
    html = page.document()
    ids = Reader(html).ids
    assert len(ids) == len(set(ids)) > 2
    references = re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', html)
    names = {name for pair in references for name in pair if name}
    assert names and names <= set(ids)
    assert {name.split("-")[0] for name in names} == {"b1", "b2"}


def test_headings_of_one_name_get_their_own_anchor_in_the_contents():
    page = Page("Title")
    for _ in range(3):
        page.heading("Curves")
    page.columns(1, 1)[1].heading("In a column")
    html = page.document()
    for anchor in ("curves", "curves-2", "curves-3", "in-a-column"):
        assert html.count(f'id="{anchor}"') == 1
        assert html.count(f'href="#{anchor}"') == 1


def test_figure_follows_the_theme_and_is_reproducible():
    svg = sine(alt="a sine").svg("b1-")
    assert svg == sine(alt="a sine").svg("b1-")
    assert f"var(--series-1, {PALETTE[0]})" in svg
    assert 'aria-label="a sine"' in svg
    assert "<text" in svg and "<metadata" not in svg


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figure = sine()
    figure.svg("b1-")
    path = figure.save_png(tmp_path / "sine.png")
    assert dict(matplotlib.rcParams) == before
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert (pixels[0, 0] == 255).all() and pixels.std() > 5


def test_image_decodes_back():
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    page = Page("Title")
    page.image(pixels, alt="noise")
    source = next(value for value in Reader(page.document()).fetched if value.startswith("data:image/png"))
    decoded = Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
    np.testing.assert_array_equal(np.asarray(decoded), pixels)


@pytest.mark.parametrize("pixels", [np.zeros((3, 3)), np.zeros((3, 3, 2), np.uint8), np.zeros(3, np.uint8)])
def test_image_refuses_what_is_no_image(pixels):
    with pytest.raises((ValueError, TypeCheckError), match=r"(?i)uint8"):
        Page("Title").image(pixels, alt="")


def test_columns_are_filled_after_what_follows_them():
    page = Page("Title")
    left, right = page.columns(1, 1)
    page.text("below")
    right.text("right")
    left.text("left")
    html = page.to_html()
    assert html.index("left") < html.index("right") < html.index("below")


def test_write_is_whole_or_nothing(tmp_path):
    path = full_page().write(tmp_path / "deep" / "report.html")
    before = path.read_bytes()
    broken = Page("Title")
    broken.subtitle = "\ud800"  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        broken.write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_scripts_come_once_and_only_with_a_scene():
    view = View3D()
    view.points("Points", np.eye(3))
    page = Page("Title")
    page.view3d(view)
    alone = len(page.document())
    page.view3d(view)
    assert len(page.document()) - alone < 10_000
    assert len(full_page().document()) < 100_000


@pytest.mark.parametrize("wrong", [lambda page: page.heading("x", 1), lambda page: page.note("loud", "x")])
def test_wrong_calls_are_refused(wrong):
    with pytest.raises((ValueError, TypeCheckError)):
        wrong(Page("Title"))
