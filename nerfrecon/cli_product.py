"""Verbs of products: photographs to a product, each stage alone, looking at one, judging one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from suite.cli import Part, key_values, print_table, with_config

if TYPE_CHECKING:
    from nerfrecon.bake.options import BakeOptions
    from nerfrecon.frames.options import FramesOptions
    from nerfrecon.mesh.options import MeshOptions
    from nerfrecon.object.options import ObjectOptions
    from nerfrecon.sfm.options import SfmOptions
    from nerfrecon.simulate.options import ProductOptions, SimulateOptions
    from nerfrecon.texture.options import TextureOptions
    from suite.config import Config, Loaded

F = TypeVar("F", bound=Callable[..., Any])
_PATH: Any = click.Path(path_type=Path)
_OUT = click.option("--out", type=_PATH, required=True, help="Folder to make.")


@click.command()
@click.argument("photographs", metavar="PHOTOGRAPHS", type=_PATH)
@click.option(
    "--out", type=_PATH, help="Folder of the product; the same again goes on.  [default: runs/NAME]"
)
@click.option("--quality", type=click.Choice(["draft", "standard", "high"]), help="[default: standard]")
@click.option(
    "--poses", is_flag=True, help="PHOTOGRAPHS is a scene whose poses are known: nothing is to find."
)
@click.option("--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), help="A YAML file.")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def run(
    photographs: Path,
    out: Path | None,
    quality: str | None,
    poses: bool,
    config_file: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Make a product of PHOTOGRAPHS, a folder or a video: a textured mesh, a baked model.

    Called again with the same folder it goes on, and makes again only what other settings change.
    """
    from nerfrecon.product_config import RECIPES, ProductConfig
    from suite.config import load_config

    if config_file is not None and quality is not None:
        raise click.UsageError("Give --quality or --config, not both.")
    recipe = config_file or RECIPES / f"{quality or 'standard'}.yaml"
    given = [f"{'poses' if poses else 'source'}={json.dumps(str(photographs))}"]
    if not any(setting.startswith("name=") for setting in settings) and config_file is None:
        given.append(f"name={json.dumps(_name(photographs))}")
    loaded = load_config(ProductConfig, recipe, [*given, *key_values(settings)])

    from nerfrecon.product import make_product, product_run

    folder = out or Path("runs") / loaded.config.name
    with product_run(folder, loaded) as made:
        make_product(loaded.config, made)
    for name in ("model.glb", "model.html", "baked.html", "report.html"):
        if (folder / name).is_file():
            click.echo(folder / name)


def _name(source: Path) -> str:
    """A name for a run's folder of that of the photographs', or of the one above `images`."""
    whole = source.resolve()
    stem = whole.parent.name if whole.name in ("images", "photos", "photographs") else whole.stem
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in stem) or "product"


def _made_by(room: str, options: str, stage: str | None = None) -> Callable[[F], F]:
    """A verb that makes a folder, --out, by the options of that name in a room.

    With `stage`, and a product for its RUN, by what the product says of that stage.
    """

    def find() -> type[Config]:
        import importlib

        return getattr(importlib.import_module(f"nerfrecon.{room}.options"), options)

    def of_product(arguments: Mapping[str, Any]) -> Part | None:
        if stage is None:
            return None

        from nerfrecon.product_config import ProductConfig
        from nerfrecon.product_folder import is_product
        from suite.run import CONFIG

        folder = arguments["field"]
        return Part(ProductConfig, folder / CONFIG, stage) if is_product(folder) else None

    def decorate(function: F) -> F:
        return _OUT(with_config(find, otherwise=of_product)(function))

    return decorate


@click.command()
@click.argument("source", type=_PATH)
@_made_by("frames", "FramesOptions")
def frames(source: Path, out: Path, loaded: Loaded[FramesOptions]) -> None:
    """Choose sharp, evenly spread pictures of SOURCE, a folder or a video."""
    from nerfrecon.frames.select import select_frames

    click.echo(select_frames(source, out, loaded.config))


@click.command()
@click.argument("frames", metavar="FRAMES", type=_PATH)
@click.option("--masks", type=_PATH, help="Folder of masks, white where features may lie.")
@_made_by("sfm", "SfmOptions")
def sfm(frames: Path, out: Path, masks: Path | None, loaded: Loaded[SfmOptions]) -> None:
    """Find the cameras of what `frames` has chosen."""
    from nerfrecon.sfm.find import find_cameras

    click.echo(find_cameras(frames, out, loaded.config, masks))


@click.command(name="object")
@click.argument("scene", type=_PATH)
@click.option("--sfm", "sfm_folder", type=_PATH, help="What `sfm` made, for scale and up.")
@_made_by("object", "ObjectOptions")
def isolate(scene: Path, out: Path, sfm_folder: Path | None, loaded: Loaded[ObjectOptions]) -> None:
    """Find the object in SCENE: its box, which way is up, masks."""
    from nerfrecon.object.isolate import isolate as isolate_object

    click.echo(isolate_object(scene, out, loaded.config, sfm_folder))


@click.command()
@click.argument("field", metavar="RUN", type=_PATH)
@_made_by("mesh", "MeshOptions", stage="mesh")
def mesh(field: Path, out: Path, loaded: Loaded[MeshOptions]) -> None:
    """Extract the mesh of the field in RUN, a training or a product (and then with its settings)."""
    from nerfrecon.mesh.extract import extract_mesh
    from nerfrecon.product_folder import field_folder

    click.echo(extract_mesh(field_folder(field), out, loaded.config))


@click.command()
@click.argument("mesh", metavar="MESH", type=_PATH)
@click.argument("field", metavar="RUN", type=_PATH)
@_made_by("texture", "TextureOptions", stage="texture")
def texture(mesh: Path, field: Path, out: Path, loaded: Loaded[TextureOptions]) -> None:
    """Paint MESH with the photographs that the field in RUN learned from: a GLB."""
    from nerfrecon.product_folder import field_folder
    from nerfrecon.texture.paint import paint

    click.echo(paint(mesh, field_folder(field), out, loaded.config))


@click.command()
@click.argument("field", metavar="RUN", type=_PATH)
@_made_by("bake", "BakeOptions", stage="bake")
def bake(field: Path, out: Path, loaded: Loaded[BakeOptions]) -> None:
    """Bake the field in RUN, a training or a product, into a model that renders in real time in a browser."""
    from nerfrecon.bake.bake import bake as bake_field
    from nerfrecon.product_folder import field_folder

    click.echo(bake_field(field_folder(field), out, loaded.config))


@click.command()
@click.argument("product", metavar="RUN", type=_PATH)
@click.option("--no-open", is_flag=True, help="Only say where the pages lie.")
def view(product: Path, no_open: bool) -> None:
    """Open the pages of a product in the browser: they are files, and need no server."""
    import webbrowser

    from suite.errors import BadInput

    pages = [
        path for name in ("report.html", "model.html", "baked.html") if (path := product / name).is_file()
    ]
    if not pages:
        raise BadInput("has no pages to look at", product, hint="name the folder of a product, or finish it")
    for page in pages:
        click.echo(page)
        if not no_open:
            webbrowser.open(page.resolve().as_uri())


@click.command(name="eval")
@click.argument("product", metavar="RUN", type=_PATH)
@click.option("--truth", type=_PATH, help="A mesh that the photographs show, in the frame of known poses.")
@click.option("--poses", type=_PATH, help="A scene with poses of the same pictures in the truth's frame.")
@click.option("--mesh", "only_mesh", is_flag=True, help="Only compare surfaces; needs --truth.")
@click.option("--json", "json_file", type=_PATH, help="Also write the figures to a file.")
def evaluate(
    product: Path, truth: Path | None, poses: Path | None, only_mesh: bool, json_file: Path | None
) -> None:
    """Judge a product: field, GLB and baked model at views held out, its surface by a mesh."""
    if only_mesh and truth is None:
        raise click.UsageError("--mesh needs --truth MESH.")

    from nerfrecon.evaluate_product import evaluate_product
    from suite.files import atomic_write

    found = evaluate_product(product, truth, views=not only_mesh, poses=poses)
    for table in found.tables:
        print_table(table)
    if json_file is not None:
        with atomic_write(json_file, "w") as stream:
            json.dump(found.figures, stream, indent=1)


@click.command()
@click.argument("mesh", metavar="MESH", type=_PATH)
@_made_by("simulate", "SimulateOptions")
def simulate(mesh: Path, out: Path, loaded: Loaded[SimulateOptions]) -> None:
    """Photograph MESH (OBJ, GLB, PLY) with exact poses, depth and masks."""
    from nerfrecon.simulate.variants import simulate_variant

    click.echo(simulate_variant(mesh, out, loaded.config))


@click.command(name="simulate-product")
@_made_by("simulate", "ProductOptions")
def simulate_product(out: Path, loaded: Loaded[ProductOptions]) -> None:
    """Photograph a product of the project's own making, on a printed mat: OUT/images."""
    from nerfrecon.simulate.product import photograph_product

    click.echo(photograph_product(out, loaded.config))


VERBS = (run, frames, sfm, isolate, mesh, texture, bake, view, evaluate, simulate, simulate_product)
