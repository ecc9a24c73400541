"""`spine fit | annotate | simulate | compare | template`: what is heavy is imported when a command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suite.cli import LazyGroup, entry, with_config
from suite.errors import BadInput

if TYPE_CHECKING:
    from spine.config import SpineConfig
    from spine.reconstruction import Reconstruction
    from spine.synthetic import SubjectConfig
    from suite.config import Loaded
    from suite.run import Run

REPORT = "report.html"
_PATH: Any = click.Path(path_type=Path)


def _spine_config() -> type[SpineConfig]:
    from spine.config import SpineConfig

    return SpineConfig


def _subject_config() -> type[SubjectConfig]:
    from spine.synthetic import SubjectConfig

    return SubjectConfig


@click.group(cls=LazyGroup)
@click.version_option(package_name="vision-suite")
def spine() -> None:
    """The spine of a person from the surface of the bare back.

    Assistive; not a medical device; does not replace radiographs.
    """


@spine.command()
@click.argument("scan", metavar="INPUT", type=_PATH)
@click.option("--landmarks", type=_PATH, help="Landmarks file that a person has edited.")
@click.option("--units", type=click.Choice(["m", "cm", "mm"]), help="Unit of the file, if not to be found.")
@click.option("--intrinsics", type=_PATH, help="JSON file of the camera, for a depth image.")
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/NAME of the input]")
@with_config(_spine_config)
def fit(
    scan: Path,
    landmarks: Path | None,
    units: str | None,
    intrinsics: Path | None,
    out: Path | None,
    loaded: Loaded[SpineConfig],
) -> None:
    """Fit the spine under the back in INPUT and write a report.

    INPUT is a surface scan (.ply .obj .pcd .glb .stl), a depth image (.png .npy) with --intrinsics, or the
    folder of an RGB-D recording. Settings are given as key=value, such as measure.samples=1000; --schema
    lists them.
    """
    from spine.output import write_result
    from spine.pipeline import find_scan, reconstruct
    from spine.report import write_report
    from suite.progress import status

    if units is not None:
        loaded = _stated_units(loaded, units)
    config = loaded.config
    file = find_scan(scan)
    inputs = [path for path in (file, landmarks, intrinsics) if path is not None]
    folder = out or Path("runs") / (_name(scan) or "scan")
    with _run_folder(folder, config=loaded, inputs=inputs, numbered=out is None) as run:
        result = reconstruct(file, config, landmarks, status, intrinsics=intrinsics)
        with status("Writing the results"):
            write_result(run, result, config.report.skin_vertices)
        with status("Writing the report"):
            page = write_report(run.path(REPORT), result, config.report)
    _summary(result)
    click.echo(f"The report: {page}")


@spine.command()
@click.argument("scan", metavar="INPUT", type=_PATH)
@click.option("--landmarks", type=_PATH, help="Landmarks file to begin with.")
@click.option("--units", type=click.Choice(["m", "cm", "mm"]), help="Unit of the file, if not to be found.")
@click.option("--intrinsics", type=_PATH, help="JSON file of the camera, for a depth image.")
@click.option(
    "--out", type=_PATH, help="Landmarks file to write.  [default: that of --landmarks, or beside INPUT]"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of this computer.  [default: a free one]"
)
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@with_config(_spine_config)
def annotate(
    scan: Path,
    landmarks: Path | None,
    units: str | None,
    intrinsics: Path | None,
    out: Path | None,
    port: int,
    no_browser: bool,
    loaded: Loaded[SpineConfig],
) -> None:
    """Correct the landmarks of the back in INPUT on a page, and fit again on the spot.

    The page is served on this computer only and asks nobody else for anything. It saves the file that
    `spine fit --landmarks` takes; Ctrl-C ends it. INPUT and settings are those of `spine fit`.
    """
    from spine.annotate import annotate as serve
    from spine.pipeline import Progress, find_scan, reconstruct

    config = (_stated_units(loaded, units) if units is not None else loaded).config
    file = find_scan(scan)

    def fit(given: Path | None, stage: Progress) -> Reconstruction:
        return reconstruct(file, config, given, stage, intrinsics=intrinsics)

    more: dict[str, Any] = {"landmarks": landmarks, "out": out, "intrinsics": intrinsics}
    serve(file, config, fit, **more, port=port, browser=not no_browser)


@spine.command()
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the first subject.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many subjects.")
@click.option("--out", type=_PATH, help="Folder to make.  [default: runs/simulated-SEED]")
@click.option(
    "--noise-mm", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Noise of the scan."
)
@click.option(
    "--camera",
    type=click.Choice(["scan", "D415", "D435"]),
    default="scan",
    show_default=True,
    help="A structured-light scan only, or a recording of this depth camera too.",
)
@click.option(
    "--frames", type=click.IntRange(min=1), default=15, show_default=True, help="Frames of a recording."
)
@with_config(_subject_config)
def simulate(
    seed: int,
    count: int,
    out: Path | None,
    noise_mm: float,
    camera: str,
    frames: int,
    loaded: Loaded[SubjectConfig],
) -> None:
    """Make simulated people: a scan of the back, and truth.json with the spine that is under it.

    Settings are given as key=value, such as cobb_max_deg=40; --schema lists them. With --count the people
    stand in folders of their own, subject-SEED.
    """
    import numpy as np

    from spine.synthetic import D415, D435, save_subject, scan_points, simulate_subject
    from suite.progress import track

    folder = out or Path("runs") / f"simulated-{seed}"
    recorded: dict[str, Any] = (
        {} if camera == "scan" else {"camera": {"D415": D415, "D435": D435}[camera], "n_frames": frames}
    )
    seeds = range(seed, seed + count)
    for one in track(seeds, "Simulating") if count > 1 else seeds:
        subject = simulate_subject(one, loaded.config)
        rng = np.random.default_rng(one)
        scan = scan_points(subject, noise_mm=noise_mm, rng=rng)
        place = folder if count == 1 else folder / f"subject-{one}"
        with _writing(place):
            save_subject(subject, place, scan, rng=rng, **recorded)
        curve = f"{subject.curve_type.replace('_', ' ')}, Cobb {subject.cobb_deg:.0f}°"
        trunk = f"trunk {subject.trunk_length_mm:.0f} mm"
        click.echo(
            f"{place}: {curve}, kyphosis {subject.kyphosis_deg:.0f}°, lordosis {subject.lordosis_deg:.0f}°, "
            f"{trunk}"
        )


@spine.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=_PATH)
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/comparison]")
def compare(runs: tuple[Path, ...], out: Path | None) -> None:
    """Compare runs of one person over time, the oldest first: curves overlaid, and what changed."""
    from spine.compare import change_table, compared, write_comparison

    comparison = compared(runs)
    inputs = [run / "result.json" for run in runs]
    with _run_folder(out or Path("runs/comparison"), inputs=inputs, numbered=out is None) as run:
        page = write_comparison(run, comparison)
    from rich.console import Console

    Console().print(change_table(comparison, main=True).to_rich())
    click.echo(f"The report: {page}")


@spine.command()
@click.option(
    "--out", type=_PATH, default=Path("spine.glb"), show_default=True, help="File to write, .glb or .json."
)
@click.option("--trunk-mm", type=float, help="Height from the base mid-point up to VP.")
@click.option("--stature-mm", type=float, help="Stature, in place of the trunk.")
@click.option("--kyphosis-deg", type=float, help="Angle between T1 and T12.")
@click.option("--lordosis-deg", type=float, help="Angle between T12 and S1.")
@click.option(
    "--set",
    "turns",
    multiple=True,
    metavar="LEVEL.ANGLE=DEG",
    help="Turn a vertebra on the one below: L3.lateral=10, T8.axial=-5, C7.flexion=8, L1.extension=3; "
    "S1 turns the whole spine.",
)
def template(
    out: Path,
    trunk_mm: float | None,
    stature_mm: float | None,
    kyphosis_deg: float | None,
    lordosis_deg: float | None,
    turns: tuple[str, ...],
) -> None:
    """Write the standing template, sized and posed, as a 3D model (.glb, in metres) or as frames (.json)."""
    from spine.chain import standing_template
    from spine.posing import pose_of, write_template

    if trunk_mm is not None and stature_mm is not None:
        raise click.UsageError("Give --trunk-mm or --stature-mm, not both.")
    sized = standing_template(trunk_mm, stature_mm, kyphosis_deg=kyphosis_deg, lordosis_deg=lordosis_deg)
    pose = pose_of(turns)
    with _writing(out):
        write_template(out, sized, pose)
    click.echo(out)


def _stated_units(loaded: Loaded[SpineConfig], units: str) -> Loaded[SpineConfig]:
    from dataclasses import replace

    surface = loaded.config.surface.model_copy(update={"units": units})
    config = loaded.config.model_copy(update={"surface": surface})
    return replace(loaded, config=config, origins=loaded.origins | {"surface.units": "--units"})


def _name(scan: Path) -> str:
    """A name for the run: that of the file or the folder."""
    scan = scan.absolute()
    return scan.name if scan.is_dir() else scan.stem


@contextmanager
def _run_folder(folder: Path, **more: Any) -> Iterator[Run]:
    """A run; where its input cannot be used, not even the folders above it stay behind."""
    from suite.run import Run

    absent = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    try:
        with _writing(folder), Run.create(folder, **more) as run:
            yield run
    except BadInput:
        for path in absent:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Says in one line that a file or folder cannot be written or read."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            f"cannot be used ({reason})", error.filename or place, "choose another place with --out"
        ) from error


def _summary(result: Reconstruction) -> None:
    """The few lines a terminal shows."""
    from rich.console import Console

    from spine.report.summary import check_lines, summary_table

    console = Console()
    console.print(summary_table(result).to_rich())
    for line in check_lines(result):
        console.print(line, markup=False, highlight=False)


main = entry(spine)
