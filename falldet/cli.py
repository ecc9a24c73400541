"""The command line of falldet, a verb for each thing to do; what is heavy is imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suite.cli import LazyGroup, entry, print_table, recipe_list, with_config
from suite.errors import BadInput

if TYPE_CHECKING:
    from falldet.config import FalldetConfig
    from falldet.data.options import Source
    from falldet.synthetic.options import SyntheticOptions
    from suite.config import Loaded

RECIPES = Path(__file__).with_name("configs")
_PATH: Any = click.Path(path_type=Path)
_MODEL = click.option(
    "--model",
    default="light",
    show_default=True,
    metavar="NAME|FILE|RUN",
    help="A shipped model (light, light_cascade), a file, or the folder of a run.",
)
_DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:NUMBER.")
_THRESHOLD = click.option(
    "--threshold", type=float, help="Score from which people are told.  [default: the model's own]"
)
_RENAME = click.option(
    "--rename", multiple=True, metavar="THEIRS=OURS", help="Our name of a category; empty leaves it out."
)


def _config() -> type[FalldetConfig]:
    from falldet.config import FalldetConfig

    return FalldetConfig


def _synthetic() -> type[SyntheticOptions]:
    from falldet.synthetic.options import SyntheticOptions

    return SyntheticOptions


@click.group(cls=LazyGroup)
@click.version_option(package_name="vision-suite")
def falldet() -> None:
    """Fall detection: everybody in pictures and videos, fallen or not.

    Assistive, and no medical device: it misses falls and gives false alarms, and must not be the only means
    by which a person's safety is watched.
    """


@falldet.command()
@click.argument("source", metavar="PICTURE|FOLDER|VIDEO|CAMERA")
@click.option("--out", type=_PATH, help="Folder to write.  [default: lines to the terminal, nothing drawn]")
@_MODEL
@_THRESHOLD
@click.option("--batch", type=int, default=4, show_default=True, help="Pictures looked at together.")
@click.option("--stride", type=int, default=1, show_default=True, help="Look at every n-th frame.")
@click.option("--seconds", type=float, help="Stop after this time of a video or a camera.")
@click.option("--draw/--no-draw", default=True, show_default=True, help="Draw boxes.")
@click.option("--only-fallen", is_flag=True, help="Draw only what shows a fallen person.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier prediction left in the folder.")
@_DEVICE
@click.pass_context
def predict(
    ctx: click.Context,
    source: str,
    out: Path | None,
    model: str,
    threshold: float | None,
    batch: int,
    stride: int,
    seconds: float | None,
    draw: bool,
    only_fallen: bool,
    overwrite: bool,
    device: str,
) -> None:
    """Find people in pictures, a video or a camera (0, 1, ...): JSON lines, and pictures or a video drawn."""
    from falldet.models import open_model
    from falldet.predict import PredictOptions
    from falldet.predict import predict as look

    options = PredictOptions(threshold, batch, stride, seconds, draw, only_fallen, overwrite)
    summary = look(open_model(model, device), source, out, options)
    click.echo(summary.line(), err=True)
    ctx.exit(summary.exit_code)


@falldet.command()
@recipe_list(RECIPES)
@with_config(_config, RECIPES)
def check(loaded: Loaded[FalldetConfig]) -> None:
    """Check settings, data and detector without training: sizes, classes, what is held back."""
    from falldet.check import check_experiment

    print_table(check_experiment(loaded.config))


@falldet.command()
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with the newest run of this name that has not finished.")
@with_config(_config, RECIPES)
def train(out: Path | None, resume: bool, loaded: Loaded[FalldetConfig]) -> None:
    """Train a detector, choose its threshold on pictures held back, and write figures and a report."""
    from suite.unfinished import started

    with started(loaded, out, resume=resume) as run:
        from falldet.train import train as train_model

        train_model(loaded.config, run, resume)
    click.echo(f"The report: {run.folder / 'report.html'}")


@falldet.command("eval")
@click.argument("model", metavar="NAME|FILE|RUN")
@click.argument("sources", nargs=-1, required=True, type=_PATH, metavar="SOURCE...")
@_THRESHOLD
@click.option("--develop", type=_PATH, help="Labelled pictures to choose the threshold on.")
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/eval-NAME]")
@_RENAME
@_DEVICE
def evaluate(
    model: str,
    sources: tuple[Path, ...],
    threshold: float | None,
    develop: Path | None,
    out: Path | None,
    rename: tuple[str, ...],
    device: str,
) -> None:
    """Judge a model on labelled pictures: a COCO file, or a folder of labelme or YOLO annotations."""
    from falldet.evaluate import evaluate_model
    from falldet.models import model_file, open_model
    from falldet.report.tables import comparison_table

    done = evaluate_model(
        open_model(model, device),
        [_source(source, rename) for source in sources],
        out or Path("runs") / f"eval-{Path(model).stem}",
        name=model,
        threshold=threshold,
        develop=None if develop is None else _source(develop, rename),
        inputs=[model_file(model)],
        numbered=out is None,
    )
    print_table(comparison_table([(one.name, one) for one in done.evaluations]))
    click.echo(f"The report: {done.page}")


@falldet.command("eval-events")
@click.argument("model", metavar="NAME|FILE|RUN")
@click.argument("annotations", nargs=-1, required=True, type=_PATH, metavar="CSV|FOLDER...")
@_THRESHOLD
@click.option("--events", type=_PATH, help="YAML with settings of events: looks, of, min_duration_s, ...")
@click.option("--develop", multiple=True, type=_PATH, help="Other videos to choose threshold and N of M on.")
@click.option("--looks-per-s", type=float, default=2.0, show_default=True, help="Looks a second.")
@click.option("--long-px", type=click.IntRange(64, 4096),
              help="The longer side that pictures are scaled to.  [default: as in watching]")  # fmt: skip
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/events-NAME]")
@_DEVICE
def eval_events(
    model: str,
    annotations: tuple[Path, ...],
    threshold: float | None,
    events: Path | None,
    develop: tuple[Path, ...],
    looks_per_s: float,
    long_px: int | None,
    out: Path | None,
    device: str,
) -> None:
    """Judge alarms on videos whose falls are annotated: recall, false alarms an hour, delays.

    Each CSV has the columns video, onset_s, end_s, kind; a FOLDER is one laid out as GMDCSA24.
    """
    from falldet.eval_events import evaluate_events
    from falldet.events.options import EventOptions
    from falldet.models import model_file, open_model
    from suite.config import load_config

    options = EventOptions() if events is None else load_config(EventOptions, events).config
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise BadInput(f"the threshold {threshold:g} is no score", hint="give one from 0 to 1")
        options = options.model_copy(update={"threshold": threshold})
    done = evaluate_events(
        open_model(model, device),
        annotations,
        out or Path("runs") / f"events-{Path(model).stem}",
        name=model,
        options=options,
        looks_per_s=looks_per_s,
        long_px=long_px,
        develop=develop,
        inputs=[model_file(model)],
        numbered=out is None,
    )
    for metric in done.judgement.metrics():
        click.echo(f"{metric.key:<16} {metric.text:>8}  {metric.interval_text:<16} {metric.note}".rstrip())
    click.echo(f"The report: {done.page}")


@falldet.command("train-evidence")
@click.argument("out", type=_PATH)
@_MODEL
@click.option("--long-px", type=click.IntRange(64, 4096), default=416, show_default=True,
              help="The longer side that pictures are scaled to.")  # fmt: skip
@click.option("--seed", "seeds", type=int, multiple=True, default=(2001, 2002, 2003, 2004), show_default=True,
              help="Films to learn from; give several.")  # fmt: skip
@click.option("--choose", type=int, multiple=True, default=(1001, 1002), show_default=True,
              help="Films that the threshold is chosen on; give several.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=60), default=900.0, show_default=True,
              help="Of film for each seed.")  # fmt: skip
@_DEVICE
def train_evidence(
    out: Path,
    model: str,
    long_px: int,
    seeds: tuple[int, ...],
    choose: tuple[int, ...],
    seconds: float,
    device: str,
) -> None:
    """Learn from drawn films who lies after a fall, for a shipped detector, and write it to OUT (JSON).

    Films are drawn at about a tenth of their length in CPU time and kept in the temporary directory.
    """
    from falldet.model.file import Model
    from falldet.models import open_model
    from falldet.train_evidence import train_evidence as learn

    detector = open_model(model, device)
    if not isinstance(detector, Model):
        raise BadInput("is mmdet's; evidence is learned for detectors of ours", model)
    done = learn(detector.at_size(long_px), out, seeds=seeds, choose=choose, seconds=seconds)
    for threshold, found in done.tried:
        hours = found.seconds / 3600
        click.echo(
            f"{threshold:.2f}  {found.found} of {found.falls} falls, {found.false} false in {hours:.2f} h"
        )
    click.echo(f"{out}: threshold {done.model.threshold:.2f}")


def _print_example(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(Path(__file__).with_name("watch").joinpath("example.yaml").read_text("utf-8"), nl=False)
        ctx.exit()


def _print_schema(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import json

        from falldet.watch.config import WatchConfig
        from suite.config import schema

        click.echo(json.dumps(schema(WatchConfig), indent=2))
        ctx.exit()


@falldet.command()
@click.argument("watched", metavar="YAML|VIDEO|FOLDER|CAMERA|URL")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--check", is_flag=True, help="Print all settings with their origins, and leave.")
@click.option("--example", is_flag=True, is_eager=True, expose_value=False, callback=_print_example,
              help="Print a configuration to start from, and leave.")  # fmt: skip
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema,
              help="Print the JSON schema of the configuration, for editors, and leave.")  # fmt: skip
@click.pass_context
def watch(ctx: click.Context, watched: str, settings: tuple[str, ...], check: bool) -> None:
    """Watch cameras around the clock and tell of falls: page, clips, webhooks, MQTT.

    YAML names cameras and everything else; any other source is watched as the only camera, such as
    `falldet watch rtsp://10.0.0.7/stream page.port=9000`. Ctrl-C or SIGTERM ends it in good order.
    """
    from falldet.watch.command import load_watch, run_watch

    loaded = load_watch(watched, settings)
    if check:
        click.echo(loaded.to_yaml(), nl=False)
        return
    ctx.exit(run_watch(loaded.config))


@falldet.command()
@click.argument("source", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--to", type=click.Choice(["coco", "labelme", "yolo"]), required=True)
@click.option("--link", is_flag=True, help="Link pictures instead of copying them.")
@click.option("--leave-out-faults", is_flag=True, help="Leave out what is wrong instead of stopping at it.")
@_RENAME
def convert(
    source: Path, out: Path, to: Any, link: bool, leave_out_faults: bool, rename: tuple[str, ...]
) -> None:
    """Write labelled pictures in another format: COCO, labelme or YOLO."""
    from falldet.convert import convert as write_converted
    from falldet.data.faults import counted

    done = write_converted(
        _source(source, rename), to, out, copy_images=not link, strict=not leave_out_faults
    )
    for line in done.lost:
        click.echo(line, err=True)
    for kind, count in counted(done.faults).items():
        click.echo(f"left out: {count} {kind}", err=True)
    click.echo(f"{out}: {done.pictures} pictures, {done.people} people")


@falldet.command()
@click.argument("sources", nargs=-1, required=True, metavar="[NAME=]SOURCE...")
@click.option("--out", type=_PATH, default=Path("audit.html"), show_default=True, help="Page to write.")
@click.option("--cache", type=_PATH, help="Folder that keeps fingerprints of pictures for the next time.")
@_RENAME
def audit(sources: tuple[str, ...], out: Path, cache: Path | None, rename: tuple[str, ...]) -> None:
    """Find broken boxes, duplicates, and leaks between sets such as train=A.json test=B.json."""
    from falldet.audit.findings import audit as audit_sets
    from falldet.audit.page import write_audit_page
    from falldet.data.formats import inspect_labelled

    readings = {}
    for given in sources:
        name, equals, path = given.partition("=")
        name, path = (name, path) if equals else (Path(given).stem, given)
        if name in readings:
            raise BadInput("is the name of two sets", name, "name them, as in train=A.json test=B.json")
        readings[name] = inspect_labelled(_source(Path(path), rename))
    report = audit_sets(readings, cache)
    write_audit_page(out, report)
    for finding in report.findings:
        click.echo(finding.text)
    click.echo(out)


@falldet.command()
@click.option("--out", type=_PATH, default=Path("synthetic"), show_default=True, help="Folder to write.")
@with_config(_synthetic)
def synthesize(out: Path, loaded: Loaded[SyntheticOptions]) -> None:
    """Draw pictures of simulated people in rooms, fallen or not, with their labels as a COCO file."""
    from falldet.synthetic.generate import synthesize as draw

    click.echo(draw(loaded.config, out))


@falldet.command("import-weights")
@click.argument("file", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="File to write (.safetensors).")
@click.option("--arch", help="The architecture it must be of, such as cascade_r50.  [default: what it is]")
@click.option(
    "--rows", metavar="I,J", help="The file's classes that fallen and not_fallen start as.  [default: person]"
)
def import_weights(file: Path, out: Path, arch: str | None, rows: str | None) -> None:
    """Check weights of mmdet or detectron2 name by name, and convert them for `falldet train`."""
    from falldet.model.weights.convert import import_file

    try:
        chosen = None if rows is None else tuple(int(row) for row in rows.split(","))
    except ValueError:
        raise BadInput("is not two numbers with a comma between", f"--rows {rows}") from None
    report = import_file(file, out, arch, chosen)
    for line in report.lines():
        click.echo(line, err=True)
    click.echo(report.yaml(), nl=False)


@falldet.command()
@click.argument("model", default="light", metavar="NAME|FILE|RUN")
@click.option("--out", type=_PATH, help="File to write.  [default: NAME.onnx]")
@click.option("--check", "pictures", type=_PATH, required=True, help="Real pictures to compare on.")
@click.option(
    "--compare", "most", type=click.IntRange(min=1), default=16, show_default=True, help="How many."
)
def export(model: str, out: Path | None, pictures: Path, most: int) -> None:
    """Write a model as an ONNX graph from picture to people, once it agrees with the model itself."""
    from falldet.looking.sources import PictureSource, open_source
    from falldet.model.file import Model
    from falldet.models import open_model
    from falldet.onnx.export import export as write_export

    source = open_source(str(pictures))
    if not isinstance(source, PictureSource):
        raise BadInput(
            "is no picture and no folder of pictures", pictures, "name real pictures to compare on"
        )
    opened = open_model(model)
    if not isinstance(opened, Model):
        raise BadInput("is mmdet's, which has exporters of its own (mmdeploy)", model)
    file = out or Path(f"{Path(model).stem}.onnx")
    click.echo(f"{file}: {write_export(opened, file, [path for _, path in source.files[:most]])}")


def _source(path: Path, rename: tuple[str, ...]) -> Source:
    from falldet.data.formats import recognise

    pairs = [pair.partition("=") for pair in rename]
    for theirs, equals, _ in pairs:
        if not equals:
            raise BadInput("is no pair", f"--rename {theirs}", "write --rename THEIRS=OURS")
    return recognise(path, {theirs: ours or None for theirs, _, ours in pairs} or None)


main = entry(falldet)
