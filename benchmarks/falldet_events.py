"""Alarms of the detector that watches: falls found, false alarms, delays; on staged clips and drawn films.

Settings (size of pictures, evidence, threshold, N of M) are those of `falldet watch`; evidence was learned on
drawn films of seeds 2001 to 2004 and its threshold chosen on those of seeds 1001 and 1002, never on what is
reported here. Two looks a second.

- `falls_found`, `false_alarms`: 5 clips with a staged fall and 3 of daily life (GMDCSA24), a minute in all: a
  smoke test, whose intervals say so. 5 and 0 are asked.
- `delay_median_s`: from the annotated onset to the alarm, of the falls found there; at most 2 s are asked.
- `synthetic_recall`, `synthetic_false_per_hour`: an hour of films of seed 0 (people who walk, bend, sit, lie
  down on beds and fall), drawn as the detectors' simulated training pictures were: kinder than cameras are.
  At least .95 and at most 1 are asked. The hour is drawn film by film, about 15 CPU minutes, and kept in a
  folder of the temporary directory, so that a run goes on where the last one was stopped;
  FALLDET_FILM_SECONDS=300 makes it shorter.
"""

from __future__ import annotations

import os

from benchmarks import BenchmarkResult, Data
from falldet.eval_events import look_at
from falldet.events.annotations import read_annotations
from falldet.events.options import EventOptions
from falldet.events.scoring import judge
from falldet.events.thresholds import WATCHING, decision
from falldet.films import films
from falldet.model.file import read_model
from falldet.models import model_file
from falldet.report.events import outcome_table
from falldet.synthetic.film import FilmOptions
from suite.report.metric import Metric
from suite.report.table import Table

SECONDS = 3600.0
LOOKS_PER_S = 2.0


def run(data: Data) -> BenchmarkResult:
    """The clips and the films by evidence, and beside that by the detector's score alone."""
    videos = read_annotations(data("falldet/gmdcsa24"))
    seconds = float(os.environ.get("FALLDET_FILM_SECONDS", SECONDS))
    model = read_model(model_file(WATCHING))
    options = EventOptions()
    how = decision(options, WATCHING, model.card)
    model = model.at_size(how.long_px or model.card.pixels.long_px)
    looked = {
        "GMDCSA24": look_at(model, videos, LOOKS_PER_S),
        "films": [seen.looked for seen in films(FilmOptions(seed=0), seconds, model)],
    }
    by_score = decision(options.model_copy(update={"evidence": "score"}), WATCHING, model.card)
    found, rows = {}, []
    for evidence, by in (("track", how), ("score", by_score)):
        for where, seen in looked.items():
            found[where, evidence] = one = judge(seen, by.options, by.threshold, lying=by.lying)
            figures = [
                one.recall.value,
                one.false,
                one.false_per_hour.value,
                one.delay_s(),
                one.delay_s(0.95),
            ]
            rows.append([evidence, where, one.falls, one.found, *figures])
    columns = ["evidence", "on", "falls", "found", "recall", "false", "false/h", "delay, s", "delay p95, s"]
    clips, drawn = found["GMDCSA24", "track"], found["films", "track"]
    by_key = {metric.key: metric for metric in drawn.metrics()}
    recall, rate = by_key["recall"], by_key["false_per_hour"]
    of = f"of {clips.falls}: a smoke test"
    metrics = [
        Metric("falls_found", clips.found, "", "higher", note=of),
        Metric("false_alarms", clips.false, "", "lower", note="in 3 clips of daily life and 5 of falls"),
        Metric("delay_median_s", clips.delay_s(), "s", "lower", note=f"{clips.found} falls"),
        Metric("synthetic_recall", recall.value, "", "higher", recall.interval, recall.note),
        Metric("synthetic_false_per_hour", rate.value, "1/h", "lower", rate.interval, rate.note),
    ]
    failures = outcome_table([*clips.failures, *drawn.failures])
    return BenchmarkResult(metrics, [Table(columns, rows), failures])
