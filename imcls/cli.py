"""The command line of imcls, a verb for each thing to do; what is heavy is imported when a command runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suite.cli import LazyGroup, entry, print_table, recipe_file, recipe_list, with_config
from suite.errors import BadInput

if TYPE_CHECKING:
    from imcls.config import ImclsConfig
    from suite.config import Loaded

RECIPES = Path(__file__).with_name("configs")
_PATH: Any = click.Path(path_type=Path)
_DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:NUMBER.")
_ALLOW_CODE = click.option(
    "--allow-code", is_flag=True, help="Build parts of `type: custom`, which run code that the run names."
)
_SETTINGS = click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")


def _config() -> type[ImclsConfig]:
    from imcls.config import ImclsConfig

    return ImclsConfig


@click.group(cls=LazyGroup)
@click.version_option(package_name="vision-suite")
def imcls() -> None:
    """Image classification: from a folder of images to a cross-validated ensemble and its report.

    An experiment is a YAML file, or a recipe by its name (imcls check --list), and settings over it: imcls
    train digits train.epochs=3
    """


@imcls.command()
@recipe_list(RECIPES)
@with_config(_config, RECIPES)
def check(loaded: Loaded[ImclsConfig]) -> None:
    """Check settings, data and model without training, and say how long it would take."""
    from imcls.check import check_experiment

    checked = check_experiment(loaded.config)
    print_table(checked.table)
    for line in checked.warnings:
        click.echo(f"warning: {line}", err=True)


@imcls.command()
@click.option("--out", type=_PATH, help="Page to write.  [default: NAME-audit.html]")
@with_config(_config, RECIPES)
def audit(out: Path | None, loaded: Loaded[ImclsConfig]) -> None:
    """Find duplicates, leaks, label conflicts and corrupt files; write a page with pictures."""
    from imcls.audit import audit as audit_data
    from imcls.data.manifest import SplitManifest
    from imcls.data.sources import read_table
    from imcls.report.audit_page import write_audit_page

    data = loaded.config.data
    table = read_table(data.source, data.classes)
    test = None if data.test is None else read_table(data.test, table.classes)
    manifest = None if data.split.manifest is None else SplitManifest.read(data.split.manifest)
    report = audit_data(table, test, manifest, data.cache)
    path = out or Path(f"{loaded.config.name}-audit.html")
    write_audit_page(path, report)
    click.echo(path)


@imcls.command()
@click.option("--out", type=_PATH, help="Manifest to write.  [default: NAME-split.json]")
@with_config(_config, RECIPES)
def split(out: Path | None, loaded: Loaded[ImclsConfig]) -> None:
    """Divide the images into folds without leaks: a manifest of names and hashes."""
    from imcls.data.sources import read_table
    from imcls.data.split import split as split_table

    data = loaded.config.data
    path = out or Path(f"{loaded.config.name}-split.json")
    split_table(read_table(data.source, data.classes), data.split, data.cache).write(path)
    click.echo(path)


@imcls.command()
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with the newest run of this name that has not finished.")
@with_config(_config, RECIPES)
def train(out: Path | None, resume: bool, loaded: Loaded[ImclsConfig]) -> None:
    """Train the members, judge each on what it has not seen, and write the report."""
    from suite.unfinished import started

    with started(loaded, out, resume=resume) as run:
        from imcls.train import train as train_members

        train_members(loaded, run, resume)
    click.echo(f"The report: {run.folder / 'report.html'}")


@imcls.command("eval")
@click.argument("run", type=_PATH)
@click.option("--data", type=_PATH, help="Class folders, a table (.csv) or a COCO file (.json) to judge on.")
@click.option("--out", type=_PATH, help="Folder to write.  [default: RUN/eval-NAME of the data]")
@_SETTINGS
def evaluate(run: Path, data: Path | None, out: Path | None, settings: tuple[str, ...]) -> None:
    """Judge the members of RUN on images with labels.

    Without --data they are those of the run's own settings, such as data.source.root=new/photos.
    """
    from imcls.evaluate import evaluate_run
    from imcls.run_folder import run_config, source_of

    source = run_config(run, settings).config.data.source if data is None else source_of(data)
    name = "own" if data is None else data.absolute().stem
    click.echo(evaluate_run(run, source, out or run / f"eval-{name}"))


@imcls.command()
@click.argument("run", type=_PATH)
@click.argument("images", nargs=-1, required=True, type=_PATH, metavar="FOLDER|IMAGE...")
@click.option(
    "--out",
    type=_PATH,
    default=Path("predictions.csv"),
    show_default=True,
    help="File to write, .csv or .json.",
)
@click.option("--template", type=_PATH, help="CSV whose columns and rows the file must have, for a contest.")
@click.option("--no-tta", is_flag=True, help="One view of each image, however the run was judged.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@_DEVICE
@_ALLOW_CODE
def predict(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    template: Path | None,
    no_tta: bool,
    batch_size: int,
    device: str,
    allow_code: bool,
) -> None:
    """Name what is in images, by the vote of RUN's members, with the probability of every class."""
    from imcls.predict import Unreadable, find_images, joined, predict_batches
    from imcls.prediction_files import writer_for
    from imcls.run_folder import tta_of, voters_of
    from imcls.submission import write_submission
    from suite.progress import track

    write = writer_for(out)
    found = find_images(images[0] if len(images) == 1 else images)
    voters = voters_of(run, allow_code=allow_code)
    unreadable = Unreadable()
    batches = predict_batches(
        voters,
        track(found, "Judging"),
        unreadable,
        tta=None if no_tta else tta_of(run),
        batch_size=batch_size,
        device=_device(device),
    )
    if template is None:
        count = write(out, batches, lambda: unreadable.names)
    else:
        count = write_submission(out, joined(list(batches)), template)
    for line in unreadable.lines:
        click.echo(f"left out: {line}", err=True)
    click.echo(f"{out}: {count} images judged, {len(unreadable.names)} could not be read")


@imcls.command()
@click.argument("runs", nargs=-1, required=True, type=_PATH, metavar="RUN RUN...")
@click.option(
    "--method",
    type=click.Choice(["auto", "vote", "greedy", "convex"]),
    default="auto",
    show_default=True,
    help="How weights are found; auto takes what is best where it was not fitted.",
)
@click.option("--out", type=_PATH, help="Folder to make.  [default: runs/ensemble]")
def ensemble(runs: tuple[Path, ...], method: Any, out: Path | None) -> None:
    """Weigh RUNs by their out-of-fold predictions; what is made predicts and exports like a run."""
    from imcls.predictions import Predictions
    from imcls.voting.ensemble import ensemble as weigh
    from imcls.voting.ensemble import write_ensemble
    from suite.report.table import Table

    found = weigh([Predictions.read(run / "oof.npz") for run in runs], [str(run) for run in runs], method)
    folder = out or Path("runs") / "ensemble"
    write_ensemble(folder, found, [run.absolute() for run in runs])
    weighting = found.weighting
    rows: list[list[Any]] = [
        [name, float(weight), float(accuracy)]
        for name, weight, accuracy in zip(found.names, weighting.weights, found.accuracies, strict=True)
    ]
    rows.append([f"ensemble ({weighting.method})", 1.0, found.accuracy])
    print_table(Table(["run", "weight", "accuracy"], rows))
    gain = found.gain
    click.echo(f"{folder}: {gain.value:+.4f} over the best run (95 %: {gain.low:+.4f} to {gain.high:+.4f})")


@imcls.command()
@click.option("--vary", multiple=True, metavar="KEY=V1,V2", help="A setting and values to try in its place.")
@click.option("--grid", is_flag=True, help="All combinations, instead of one change at a time.")
@click.option("--variants", type=_PATH, help="YAML file of named variants, instead of --vary.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Seeds of each.")
@click.option("--out", type=_PATH, help="Folder to make or go on with.  [default: runs/NAME-ablation]")
@with_config(_config, RECIPES)
def ablate(
    vary: tuple[str, ...],
    grid: bool,
    variants: Path | None,
    seeds: int,
    out: Path | None,
    loaded: Loaded[ImclsConfig],
) -> None:
    """Try changes of an experiment over several seeds, and tabulate what each is worth.

    With `mode=probe` neck and head are trained on frozen features, seconds a job.
    """
    if bool(vary) == (variants is not None):
        raise click.UsageError("Give either --vary or --variants.")
    from imcls.ablation.run import run_ablation
    from imcls.ablation.table import table
    from imcls.ablation.variants import read_variants, varied

    chosen = varied(vary, grid) if variants is None else read_variants(variants)
    folder = out or Path("runs") / f"{loaded.config.name}-ablation"
    print_table(table(run_ablation(loaded.config, chosen, seeds, folder)))
    click.echo(f"The report: {folder / 'ablation.html'}")


@imcls.command()
@click.argument("run", type=_PATH)
@click.option("--images", type=_PATH, help="Real pictures to compare on.  [default: the run's data]")
@click.option(
    "--compare", type=click.IntRange(min=8), default=16, show_default=True, help="How many of them."
)
@click.option("--out", type=_PATH, help="Folder to make.  [default: RUN/onnx]")
@_ALLOW_CODE
def export(run: Path, images: Path | None, compare: int, out: Path | None, allow_code: bool) -> None:
    """Write RUN's members as one ONNX graph with its preprocessing, once it agrees with them.

    RUN may be the folder of one member, RUN/members/fold-0.
    """
    from imcls.onnx.export import export as write_export
    from imcls.predict import find_images
    from imcls.run_folder import image_files, run_config, voters_of

    folder = out or run / "onnx"
    if images is None:
        pictures = image_files(run_config(run).config, compare)
    else:
        pictures = [image.path for image in find_images(images)[:compare]]
    agreement = write_export(voters_of(run, allow_code=allow_code), folder, pictures)
    click.echo(f"{folder}: {agreement}")


@imcls.command()
@click.argument("run", type=_PATH)
def report(run: Path) -> None:
    """Write the page of RUN again."""
    from imcls.train import write_run_report

    click.echo(write_run_report(run))


@imcls.command()
@click.argument("what", metavar="RUN|YAML")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="For a figure.")
@click.option("--out", type=_PATH, help="Write the figures as JSON too.")
@_ALLOW_CODE
@_SETTINGS
def bench(
    what: str, threads: int, seconds: float, out: Path | None, allow_code: bool, settings: tuple[str, ...]
) -> None:
    """Measure reading, judging, TTA and ONNX Runtime, at batch 1 and 32."""
    from imcls.bench import bench as measure
    from imcls.bench import speed_metrics, speed_table, untrained
    from imcls.run_folder import classes_of, image_files, run_config, voters_of
    from suite.config import load_config
    from suite.files import atomic_write
    from suite.report.metric import metrics_dict

    if Path(what).is_dir():
        config = run_config(Path(what), settings).config
        voters = voters_of(Path(what), allow_code=allow_code)
    else:
        config = load_config(_config(), recipe_file(what, RECIPES), settings).config
        voters = untrained(config, classes_of(config))
    speeds = measure(voters, image_files(config, 32), config.evaluation.tta, threads=threads, least_s=seconds)
    print_table(speed_table(speeds))
    if out is not None:
        with atomic_write(out, "w") as stream:
            json.dump({"metrics": metrics_dict(speed_metrics(speeds))}, stream, indent=2)


@imcls.command()
def schema() -> None:
    """Print the JSON schema of an experiment, for editors."""
    from suite.config import schema as schema_of

    click.echo(json.dumps(schema_of(_config()), indent=2))


def _device(name: str) -> str:
    """The device if it is there; BadInput where it is not."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"cannot be used ({reason})", where=f"--device {name}", hint="use cpu") from None
    return name


main = entry(imcls)
