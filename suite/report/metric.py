"""A measured figure: its value, its unit, and which way is better."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

MISSING = "–"
_TIGHT_UNITS = {"deg": "°", "°": "°"}  # written against the number; every other unit after a no-break space


@dataclass(frozen=True)
class Metric:
    """One figure. `better` is None where neither direction is (a count, a setting).

    `interval` is (low, high) in the same unit; what could not be measured is NaN: a dash, in JSON
    null. ValueError for an empty key, an unknown direction or a reversed interval.
    """

    key: str
    value: float | int
    unit: str = ""
    better: Literal["lower", "higher"] | None = "lower"
    interval: tuple[float | int, float | int] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.key or self.key != self.key.strip():
            raise ValueError(f"a metric's key must be a word, got {self.key!r}")
        if self.better not in ("lower", "higher", None):
            raise ValueError(f"metric {self.key}: better is 'lower', 'higher' or None, got {self.better!r}")
        object.__setattr__(self, "value", float(self.value))
        if self.interval is not None:
            low, high = (float(bound) for bound in self.interval)
            if low > high:
                raise ValueError(f"metric {self.key}: interval ({low:g}, {high:g}) is reversed")
            object.__setattr__(self, "interval", (low, high))

    @property
    def text(self) -> str:
        """Value and unit for people: `3.41 mm`, `12.3°`, `–`."""
        return with_unit(format_number(self.value, self._decimals), self.unit)

    @property
    def interval_text(self) -> str:
        """`10.1 to 14.2` in the value's own decimals, or an empty string."""
        if self.interval is None:
            return ""
        low, high = (format_number(bound, self._decimals) for bound in self.interval)
        return f"{low} to {high}"

    @property
    def _decimals(self) -> int | None:
        if self.unit == "" and float(self.value).is_integer() and self.interval is None:
            return 0  # a count
        if self.interval is None or not math.isfinite(self.value):
            return None
        # Value and bounds share the decimals of the largest: 0.31 (-0.12 to 1.50) reads badly with four.
        return sensible_decimals(max(abs(self.value), *(abs(bound) for bound in self.interval)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready `{"value", "unit", "better"}`, with `interval` and `note` where there are any."""
        entry: dict[str, Any] = {"value": _finite(self.value), "unit": self.unit, "better": self.better}
        if self.interval is not None:
            entry["interval"] = [_finite(bound) for bound in self.interval]
        if self.note:
            entry["note"] = self.note
        return entry


def metrics_dict(metrics: Iterable[Metric]) -> dict[str, dict[str, Any]]:
    """JSON-ready `{key: {"value", "unit", "better"}}`; ValueError where two metrics share a key."""
    entries: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        if metric.key in entries:
            raise ValueError(f"two metrics are called {metric.key}")
        entries[metric.key] = metric.to_dict()
    return entries


def metrics_json(name: str, metrics: Iterable[Metric]) -> str:
    """One line `{"name": ..., "metrics": {key: {"value", "unit", "better"}}}`; NaN becomes null."""
    return json.dumps({"name": name, "metrics": metrics_dict(metrics)}, allow_nan=False)


def sensible_decimals(value: float | int, significant: int = 3) -> int:
    """Decimals that show about `significant` digits of `value`: 3.412 -> 2, 34.12 -> 1, 341.2 -> 0."""
    if not math.isfinite(value) or value == 0:
        return significant - 1
    exponent = math.floor(math.log10(abs(value)))
    return min(max(significant - 1 - exponent, 0), 6)


def format_number(value: float | int, decimals: int | None = None) -> str:
    """A number for people: sensible digits, a true minus sign, a dash for what could not be measured."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-5 <= abs(value) < 1e7 and decimals is None:
        return f"{value:.2e}".replace("-", "−")
    text = f"{value:.{sensible_decimals(value) if decimals is None else decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")  # no "-0.00"
    return text.replace("-", "−")


def with_unit(text: str, unit: str) -> str:
    """`text` followed by its unit; degrees are written tight."""
    if not unit or text == MISSING:
        return text
    return text + _TIGHT_UNITS.get(unit, f"\N{NO-BREAK SPACE}{unit}")


def _finite(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None
