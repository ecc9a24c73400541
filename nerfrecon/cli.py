"""The command line of nerfrecon, a verb for each thing to do; heavy imports wait for their command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nerfrecon.cli_product import VERBS
from suite.cli import LazyGroup, entry, print_table, recipe_list, with_config

if TYPE_CHECKING:
    from nerfrecon.config import NerfreconConfig
    from suite.config import Loaded

RECIPES = Path(__file__).with_name("configs")
_PATH: Any = click.Path(path_type=Path)


def _config() -> type[NerfreconConfig]:
    from nerfrecon.config import NerfreconConfig

    return NerfreconConfig


@click.group(cls=LazyGroup)
@click.version_option(package_name="vision-suite")
def nerfrecon() -> None:
    """Photographs to a product on a page, on any CPU in minutes.

    nerfrecon run PHOTOGRAPHS does all of it; each stage is a verb of its own. A field alone, from photographs
    with poses, is a YAML file, or a recipe by its name (nerfrecon check --list), and settings over it:
    nerfrecon train object scene=photos/shoe
    """


for _verb in VERBS:
    nerfrecon.add_command(_verb)


@nerfrecon.command()
@recipe_list(RECIPES)
@with_config(_config, RECIPES)
def check(loaded: Loaded[NerfreconConfig]) -> None:
    """Check settings, scene and backend without training: views, box, what is carved, sizes."""
    from nerfrecon.check import check_scene

    checked = check_scene(loaded.config)
    print_table(checked.table)
    for line in checked.warnings:
        click.echo(f"warning: {line}", err=True)


@nerfrecon.command()
@click.option("--out", type=_PATH, help="Run folder to make.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with the newest run of this name that has not finished.")
@with_config(_config, RECIPES)
def train(out: Path | None, resume: bool, loaded: Loaded[NerfreconConfig]) -> None:
    """Train a field, judge it on views held out, and write figures and a report.

    Ctrl-C and SIGTERM save everything; --resume goes on.
    """
    from suite.unfinished import started

    with started(loaded, out, resume=resume) as run:
        from nerfrecon.train import train as train_field

        train_field(loaded.config, run, resume)
    click.echo(f"The report: {run.folder / 'report.html'}")


@nerfrecon.command()
@click.argument("run", metavar="RUN", type=_PATH)
@click.option("--out", type=_PATH, help="Folder to write.  [default: RUN/views]")
@click.option(
    "--views",
    default="held-out",
    show_default=True,
    metavar="held-out|all|NAME",
    help="Which views of the scene.",
)
@click.option("--orbit", type=click.IntRange(min=2), help="Instead: a turn around the box in so many views.")
@click.option("--video", type=_PATH, help="Write the turn as a video instead: FILE.mp4 or FILE.webm.")
@click.option(
    "--of",
    type=click.Choice(["field", "mesh"]),
    default="field",
    show_default=True,
    help="What a turn shows: the field, or the textured mesh of a product.",
)
@click.option("--scale", type=click.FloatRange(min=0, min_open=True, max=1), default=1.0, show_default=True)
@click.option("--depth", is_flag=True, help="Write depth too: 16-bit PNG, thousandths of a world unit.")
@click.option(
    "--backend", type=click.Choice(["auto", "native", "torch", "tcnn"]), default="auto", show_default=True
)
def render(
    run: Path,
    out: Path | None,
    views: str,
    orbit: int | None,
    video: Path | None,
    of: Any,
    scale: float,
    depth: bool,
    backend: Any,
) -> None:
    """Render views of the field of RUN, a training or a product, as PNG or as a video."""
    from nerfrecon.product_folder import field_folder

    if (video is not None or of == "mesh") and orbit is None:
        raise click.UsageError("--video and --of mesh show a turn: give --orbit COUNT.")
    if video is not None or of == "mesh":
        from nerfrecon.turntable import turn

        folder = video or out or run / "views"
        assert orbit is not None
        count = turn(run, folder, orbit, of=of, scale=scale, backend=backend)
    else:
        from nerfrecon.render_views import render_run

        folder = out or run / "views"
        count = render_run(
            field_folder(run), folder, views, orbit=orbit, scale=scale, depth=depth, backend=backend
        )
    click.echo(f"{folder}: {count} views")


main = entry(nerfrecon)
