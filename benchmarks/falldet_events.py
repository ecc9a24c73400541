"""Alarms of the shipped detectors: found falls, false alarms and delays, on staged clips and on drawn films.

Settings (threshold, margin, N of M) are those of `falldet watch`; they were chosen on drawn films of seed
1001, never on what is reported here. Two looks a second.

- `falls_found`, `false_alarms`: 5 clips with a staged fall and 3 of daily life (GMDCSA24), a minute in all: a
  smoke test, whose intervals say so. 5 and 0 are asked.
- `delay_median_s`: from the annotated onset to the alarm, of the falls found there; at most 2 s are asked.
- `synthetic_recall`, `synthetic_false_per_hour`: an hour of films of seed 0 (people who walk, bend, sit, lie
  down on beds and fall), drawn as the detectors' simulated training pictures were: kinder than cameras are.
  At least .95 and at most 1 are asked. The hour is drawn film by film, about 20 CPU minutes, and kept in a
  folder of the temporary directory, so that a run goes on where the last one was stopped;
  FALLDET_FILM_SECONDS=300 makes it shorter.
"""

from __future__ import annotations

import os

from benchmarks import BenchmarkResult, Data
from benchmarks._falldet import shipped
from benchmarks._falldet_films import films
from falldet.eval_events import look_at
from falldet.events.annotations import read_annotations
from falldet.events.options import EventOptions
from falldet.events.scoring import Judgement, judge
from falldet.events.thresholds import WATCHING, watch_threshold
from falldet.report.events import outcome_table
from falldet.synthetic.film import FilmOptions
from suite.report.metric import Metric
from suite.report.table import Table

SECONDS = 3600.0
LOOKS_PER_S = 2.0


def run(data: Data) -> BenchmarkResult:
    """Every shipped model; the metrics are those of the one that watches, the tables have all."""
    videos = read_annotations(data("falldet/gmdcsa24"))
    seconds = float(os.environ.get("FALLDET_FILM_SECONDS", SECONDS))
    models = sorted(shipped(), key=lambda model: model.card.name != WATCHING)
    drawn = films(FilmOptions(seed=0), seconds, models)
    clips: list[Judgement] = []
    synthetic: list[Judgement] = []
    for model in models:
        options, threshold = EventOptions(), watch_threshold(model.card.name, model.card.threshold)
        seen = look_at(model, videos, LOOKS_PER_S)
        clips.append(judge(seen, options, threshold))
        synthetic.append(judge(drawn[model.card.name], options, threshold))
    rows = []
    for model, clip, film in zip(models, clips, synthetic, strict=True):
        for where, one in (("GMDCSA24", clip), ("films", film)):
            figures = [
                one.recall.value,
                one.false,
                one.false_per_hour.value,
                one.delay_s(),
                one.delay_s(0.95),
            ]
            rows.append([model.card.name, where, one.falls, one.found, *figures])
    columns = ["model", "on", "falls", "found", "recall", "false", "false/h", "delay, s", "delay p95, s"]
    by_key = {metric.key: metric for metric in synthetic[0].metrics()}
    recall, rate = by_key["recall"], by_key["false_per_hour"]
    of = f"of {clips[0].falls}: a smoke test"
    metrics = [
        Metric("falls_found", clips[0].found, "", "higher", note=of),
        Metric("false_alarms", clips[0].false, "", "lower", note="in 3 clips of daily life and 5 of falls"),
        Metric("delay_median_s", clips[0].delay_s(), "s", "lower", note=f"{clips[0].found} falls"),
        Metric("synthetic_recall", recall.value, "", "higher", recall.interval, recall.note),
        Metric("synthetic_false_per_hour", rate.value, "1/h", "lower", rate.interval, rate.note),
    ]
    failures = outcome_table([*clips[0].failures, *synthetic[0].failures])
    return BenchmarkResult(metrics, [Table(columns, rows), failures])
