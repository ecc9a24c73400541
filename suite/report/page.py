"""A report page: one HTML file with everything inside; it opens offline and asks no server for anything."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from suite.files import atomic_write
from suite.report.flag import WORDS, Flag, icon_html
from suite.report.metric import Metric, format_number
from suite.report.view3d import View3D, plotly_scripts

if TYPE_CHECKING:
    from suite.report.figure import Figure
    from suite.report.table import Table

# The browser itself then refuses whatever is not inside the file.
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
DIRECTIONS = {"lower": "lower is better", "higher": "higher is better"}


class Flow:
    """Blocks one below the other: a page's body, or one of its columns. Text is escaped, never markup."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._parts: list[str | _Columns] = []

    def heading(self, text: str, level: int = 2) -> None:
        """A section's title; those of level 2 make the table of contents."""
        if level not in (2, 3, 4):
            raise ValueError(f"headings are of level 2 to 4, got {level}")
        anchor = self._shared.anchor(text)
        if level == 2:
            self._shared.contents.append((anchor, text))
        self._parts.append(f'<h{level} id="{anchor}">{escape(text)}</h{level}>')

    def text(self, text: str) -> None:
        """A paragraph; an empty line starts another."""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self._parts.append(f"<p>{escape(paragraph)}</p>")

    def note(self, kind: Flag, text: str) -> None:
        """A flagged remark: info, ok, warn or bad, told by icon and word as well as by colour."""
        self._parts.append(
            f'<p class="note {kind}" role="note">{icon_html(kind)}'
            f'<span><span class="word">{WORDS[kind]}.</span> {escape(text)}</span></p>'
        )

    def metrics(
        self,
        metrics: Sequence[Metric],
        labels: Mapping[str, str] | None = None,
        flags: Mapping[str, Flag] | None = None,
    ) -> None:
        """Figures as cards; `labels` and `flags` by key (a label missing is made from the key)."""
        labels, flags = labels or {}, flags or {}
        cards = "".join(_card(m, labels.get(m.key, _spoken(m)), flags.get(m.key)) for m in metrics)
        self._parts.append(f'<dl class="cards">{cards}</dl>')

    def table(self, table: Table) -> None:
        """A table, with its caption above."""
        self._parts.append(table.to_html())

    def figure(self, figure: Figure, caption: str = "") -> None:
        """A drawing with a caption, which stands in for `alt` where the figure has none."""
        from dataclasses import replace

        figure = figure if figure.alt else replace(figure, alt=caption)
        self._captioned("plot", f'<div class="scroll">{figure.svg(self._shared.prefix())}</div>', caption)

    def view3d(self, view: View3D, caption: str = "") -> None:
        """An interactive scene with a caption."""
        self._shared.has_3d = True
        self._captioned("scene", view.to_html(self._shared.prefix()), caption)

    def image(
        self, pixels: UInt8[np.ndarray, "h w *channels"], alt: str, caption: str = "", photo: bool = False
    ) -> None:
        """An image of shape (h, w), (h, w, 3) or (h, w, 4); without loss, or as JPEG for a photo."""
        from PIL import Image

        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)):
            raise ValueError(f"an image is uint8 of h x w, x 3 or x 4; got {pixels.dtype} {pixels.shape}")
        stream = io.BytesIO()
        kind, options = ("JPEG", {"quality": 88}) if photo else ("PNG", {"optimize": True})
        Image.fromarray(pixels).save(stream, format=kind, **options)
        height, width = pixels.shape[:2]
        source = _data_uri(f"image/{kind.lower()}", stream.getvalue())
        self._captioned(
            "image",
            f'<img src="{source}" alt="{escape(alt)}" width="{width}" height="{height}">',
            caption,
        )

    def columns(self, *widths: float | int) -> tuple[Flow, ...]:
        """Columns side by side, of relative `widths`, to be filled one by one; narrow screens stack them."""
        if len(widths) < 2 or min(widths) <= 0:
            raise ValueError(f"columns need two or more positive widths, got {widths}")
        flows = tuple(Flow(self._shared) for _ in widths)
        self._parts.append(_Columns(flows, widths))
        return flows

    def download(self, name: str, data: bytes, media_type: str = "application/octet-stream") -> None:
        """A link that saves `data`, carried inside the page, as a file called `name`."""
        size = f"{format_number(len(data) / 1000)} kB"
        self._parts.append(
            f'<p class="download"><a download="{escape(name)}" href="{_data_uri(escape(media_type), data)}">'
            f"{escape(name)}</a> <small>{size}</small></p>"
        )

    def to_html(self) -> str:
        """The blocks as HTML, without the page around them."""
        return "\n".join(part if isinstance(part, str) else part.to_html() for part in self._parts)

    def _captioned(self, kind: str, content: str, caption: str) -> None:
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._parts.append(f'<figure class="{kind}">{content}{below}</figure>')


class Page(Flow):
    """A page with a title; `footer` closes it (limits, origin). Build it block by block, then `write` it."""

    def __init__(self, title: str, subtitle: str = "", footer: str = "", language: str = "en") -> None:
        super().__init__(_Shared())
        self.title = title
        self.subtitle = subtitle
        self.footer = footer
        self.language = language

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page whole or not at all; returns the path."""
        path = Path(path)
        document = self.document().encode()
        with atomic_write(path, "wb") as stream:
            stream.write(document)
        return path

    def document(self) -> str:
        """The whole file. plotly.js (4.8 MB) is in it only where the page has a 3D scene, and then once."""
        contents = self._shared.contents
        links = "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for anchor, text in contents)
        nav = (
            f'<nav class="contents" aria-label="Contents"><ol>{links}</ol></nav>' if len(contents) > 1 else ""
        )
        subtitle = f'<p class="subtitle">{escape(self.subtitle)}</p>' if self.subtitle else ""
        footer = f"<footer><p>{escape(self.footer)}</p></footer>" if self.footer else ""
        style = files("suite.report").joinpath("page.css").read_text(encoding="utf-8")
        return (
            f'<!doctype html>\n<html lang="{escape(self.language)}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f'<title>{escape(self.title)}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>\n{style}</style>\n"
            f"</head>\n<body>\n<header><h1>{escape(self.title)}</h1>{subtitle}</header>\n{nav}\n"
            f"<main>\n{self.to_html()}\n</main>\n{footer}\n"
            f"{plotly_scripts() if self._shared.has_3d else ''}</body>\n</html>\n"
        )


class _Shared:
    """What all flows of one page have in common: its anchors, its id prefixes, its table of contents."""

    def __init__(self) -> None:
        self.contents: list[tuple[str, str]] = []
        self.has_3d = False
        self._numbers = count(1)
        self._anchors: set[str] = set()

    def prefix(self) -> str:
        return f"b{next(self._numbers)}-"

    def anchor(self, text: str) -> str:
        word = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        anchor = next(
            name for n in count(1) if (name := word if n == 1 else f"{word}-{n}") not in self._anchors
        )
        self._anchors.add(anchor)
        return anchor


class _Columns:
    def __init__(self, flows: tuple[Flow, ...], widths: tuple[float | int, ...]) -> None:
        self.flows, self.widths = flows, widths

    def to_html(self) -> str:
        cells = "".join(
            f'<div style="flex-grow:{width:g}">{flow.to_html()}</div>'
            for flow, width in zip(self.flows, self.widths, strict=True)
        )
        return f'<div class="columns">{cells}</div>'


def _card(metric: Metric, label: str, flag: Flag | None) -> str:
    value, _, unit = metric.text.partition("\N{NO-BREAK SPACE}")
    lines = [metric.interval_text, metric.note, DIRECTIONS.get(metric.better or "", "")]
    small = "".join(f'<dd class="more">{escape(line)}</dd>' for line in lines if line)
    mark = icon_html(flag) if flag else ""
    return (
        f'<div class="card {flag or ""}"><dt>{mark}{escape(label)}</dt>'
        f'<dd class="value">{escape(value)}<span class="unit">{escape(unit)}</span></dd>{small}</div>'
    )


def _spoken(metric: Metric) -> str:
    """`cobb_mae_deg` -> `Cobb mae`: the unit is said beside the value."""
    words = metric.key.split("_")
    if len(words) > 1 and words[-1] == metric.unit:
        words = words[:-1]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
