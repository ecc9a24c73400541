"""A run's members judged on other images that have labels."""

from __future__ import annotations

from pathlib import Path

from imcls.data.options import Source
from imcls.experiment import other_images
from imcls.judging import judge
from imcls.metrics.summary import summary
from imcls.report.page import ReportInputs, write_report
from imcls.run_folder import run_config, voters_of
from imcls.train import vote
from suite.errors import BadInput
from suite.report.flag import Flag
from suite.run import Run

PAGE, PREDICTIONS = "report.html", "predictions.npz"


def evaluate_run(folder: Path, source: Source, out: Path) -> str:
    """Judge the images of ``source`` by the vote of the members in ``folder``: figures, predictions and a
    page in ``out``; returns what to tell. BadInput where no image has a label."""
    config = run_config(folder).config
    voters = voters_of(folder, allow_code=config.allow_code)
    table, cache = other_images(config, source, voters.card.classes)
    with Run.create(out, config=config, inputs=[]) as run:
        said = [judge(member, table, cache, cache.kept, config) for member in voters.members]
        found = vote(said, [member.card.temperature for member in voters.members], voters.weights)
        if found.labels is None or (not found.multi_label and (found.labels < 0).all()):
            raise BadInput("none of the images has a label", where=out, hint="use `imcls predict`")
        metrics = summary(found, config.evaluation.bootstrap, config.train.seed)
        run.add_metrics(metrics)
        found.write(run.path(PREDICTIONS))
        learned = source == config.data.source
        notes: list[tuple[Flag, str]] = [("info", note) for note in table.notes]
        if learned:
            notes.append(
                ("warn", "These are the images that the members learned from: no figure of new ones.")
            )
        page = write_report(
            run.path(PAGE),
            ReportInputs(
                title=f"{config.name} on {out.name}",
                predictions=found,
                metrics=metrics,
                summary={
                    "members": str(len(voters.members)),
                    "judged": f"{len(found)} images" + ("" if learned else " that they have not seen"),
                },
                skipped=cache.skipped,
                options=config.report,
                bootstrap=config.evaluation.bootstrap,
                notes=notes,
            ),
        )
    lead = next(m for m in metrics if m.key in ("accuracy", "mean_average_precision"))
    return f"{lead.key} {lead.text} ({lead.interval_text}): {page}"
