"""From photographs to a product: read first.

    photographs | video -> frames -> sfm -> object -> field -> mesh -> texture -> model.glb, model.html
                scene with poses ----^                  \\----> bake ----------> baked.html     report.html

Each stage is a function from paths to a folder of that name below the product's. Calling `make_product` again
on the same folder makes what is missing, and what depends on what has changed (nerfrecon.stages).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from nerfrecon.config import NerfreconConfig
from nerfrecon.object.options import GivenMasks
from nerfrecon.product_config import ProductConfig
from nerfrecon.product_folder import (
    BAKED_PAGE,
    FIELD_FILE,
    GLB,
    MESH_PAGE,
    PRODUCT,
    REPORT,
    read_json,
)
from nerfrecon.stages import WORK, Stage, StageRecord, run_stages
from suite.config import Loaded
from suite.errors import BadInput
from suite.files import atomic_write, sole
from suite.report.metric import Metric
from suite.run import RECORD, Run
from suite.unfinished import unfinished


@contextmanager
def product_run(folder: Path, config: Loaded[ProductConfig] | ProductConfig) -> Iterator[Run]:
    """The run of a product, new or taken up again, from now on with `config`.

    Raises BadInput where another process works in the folder, and where it is something else's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput("is a file", folder, hint="name another folder") from None
    with sole(folder):
        there = (folder / RECORD).is_file()
        with Run.again(folder, config=config) if there else Run.create(folder, config=config) as run:
            yield run


def make_product(config: ProductConfig, run: Run) -> Path:
    """Make all stages that are not there yet, in `run.folder`; returns the GLB.

    Raises BadInput, StageStopped and SuiteError in one line; stages that are done stay and can be used.
    """
    root = run.folder
    stages = product_stages(config, root)
    if config.source is not None and not config.source.exists():
        raise BadInput("no such folder of photographs, and no such video", config.source)
    title = config.viewer.title or config.name

    def after(records: list[StageRecord]) -> None:
        _write_costs(root, config, records)
        _publish(root, title, records[-1])

    try:
        records = run_stages(stages, root, after)
    except BadInput:
        if (root / PRODUCT).is_file():
            _write_report(root)  # with the pictures that were rejected, and why
        else:
            shutil.rmtree(root / WORK, ignore_errors=True)  # nothing is done that could be gone on with
        raise
    run.add_metrics(product_metrics(root, records))
    _write_report(root)
    return root / GLB


def product_stages(config: ProductConfig, root: Path) -> list[Stage]:
    """What is to be made, in order, each with all that it depends on."""
    root = root.resolve()
    frames, sfm, scene = root / "frames", root / "sfm", root / "object"
    field, mesh, texture, bake = root / "field", root / "mesh", root / "texture", root / "bake"
    training = config.field.model_copy(update={"name": config.name, "scene": scene})
    begin = (
        _from_photographs(config, frames, sfm, scene) if config.poses is None else _from_poses(config, scene)
    )
    pictures = [frames] if config.poses is None else [config.poses.resolve()]
    learned = (field / FIELD_FILE, scene, *pictures)
    stages = [
        *begin,
        Stage(
            "field",
            field,
            lambda out, work: _train(training, out),
            (scene, *pictures),
            config.field,
            resumes=True,
            expected_s=config.field.train.cpu_s,
        ),
        Stage("mesh", mesh, lambda out, work: _mesh(field, out, config), learned, config.mesh),
        Stage(
            "texture",
            texture,
            lambda out, work: _texture(mesh / "mesh.ply", field, out, config),
            (mesh / "mesh.ply", *learned),
            config.texture,
        ),
    ]
    if config.viewer.baked:
        stages.append(Stage("bake", bake, lambda out, work: _bake(field, out, config), learned, config.bake))
    return stages


def _from_photographs(config: ProductConfig, frames: Path, sfm: Path, scene: Path) -> list[Stage]:
    if config.source is None:
        raise BadInput(
            "no photographs", "source", "name their folder or a video, or poses=SCENE with known poses"
        )
    source = config.source.resolve()
    return [
        Stage("frames", frames, lambda out, work: _frames(source, out, config), (source,), config.frames),
        Stage("sfm", sfm, lambda out, work: _sfm(frames, out, config), (frames,), config.sfm, version=2),
        Stage(
            "object",
            scene,
            lambda out, work: _object(sfm, out, config, sfm),
            (frames, sfm, *_given_masks(config)),
            config.object,
        ),
    ]


def _from_poses(config: ProductConfig, scene: Path) -> list[Stage]:
    assert config.poses is not None
    poses = config.poses.resolve()
    return [
        Stage(
            "object",
            scene,
            lambda out, work: _object(poses, out, config, None),
            (poses, *_given_masks(config)),
            config.object,
        )
    ]


def _given_masks(config: ProductConfig) -> tuple[Path, ...]:
    mask = config.object.mask
    return (mask.folder.resolve(),) if isinstance(mask, GivenMasks) else ()


def _frames(source: Path, out: Path, config: ProductConfig) -> Path:
    from nerfrecon.frames.select import select_frames

    return select_frames(source, out, config.frames)


def _sfm(frames: Path, out: Path, config: ProductConfig) -> Path:
    from nerfrecon.sfm.find import find_cameras

    return find_cameras(frames, out, config.sfm)


def _object(scene: Path, out: Path, config: ProductConfig, sfm: Path | None) -> Path:
    from nerfrecon.object.isolate import isolate

    return isolate(scene, out, config.object, sfm)


def _train(config: NerfreconConfig, out: Path) -> None:
    from nerfrecon.train import train

    resume = (out / "run.json").is_file()
    if resume and Run.open(out).status == "finished":
        return
    if resume:
        run = unfinished(out, config, numbered=False)
    else:
        shutil.rmtree(out, ignore_errors=True)
        run = Run.create(out, config=config)
    with run:
        train(config, run, resume)


def _mesh(field: Path, out: Path, config: ProductConfig) -> Path:
    from nerfrecon.mesh.extract import extract_mesh

    return extract_mesh(field, out, config.mesh)


def _texture(mesh: Path, field: Path, out: Path, config: ProductConfig) -> Path:
    from nerfrecon.texture.paint import paint

    return paint(mesh, field, out, config.texture)


def _bake(field: Path, out: Path, config: ProductConfig) -> Path:
    from nerfrecon.bake.bake import bake

    return bake(field, out, config.bake)


def _publish(root: Path, title: str, record: StageRecord) -> None:
    """What people open, as soon as its stage is done."""
    if record.name == "texture" and not (record.cached and (root / MESH_PAGE).is_file()):
        from nerfrecon.viewer.mesh import write_mesh_page

        with atomic_write(root / GLB) as stream:
            stream.write((root / "texture" / GLB).read_bytes())
        metric = bool(read_json(root / "object" / "object.json").get("metres", False))
        write_mesh_page(root / GLB, root / MESH_PAGE, title, metric)
    if record.name == "bake" and not (record.cached and (root / BAKED_PAGE).is_file()):
        from nerfrecon.viewer.baked import write_baked_page

        write_baked_page(root / "bake" / "baked.bin", root / BAKED_PAGE, title)


def _write_report(root: Path) -> None:
    from nerfrecon.report.product import write_product_page

    write_product_page(root, root / REPORT)


def _write_costs(root: Path, config: ProductConfig, records: Sequence[StageRecord]) -> None:
    total = {
        "cpu_s": round(sum(one.cpu_s for one in records), 1),
        "wall_s": round(sum(one.wall_s for one in records), 1),
        "peak_gb": max(one.peak_gb for one in records),
        "bytes": sum(one.bytes for one in records),
    }
    product = {
        "name": config.name,
        "quality": config.quality,
        "stages": [asdict(one) for one in records],
        "total": total,
    }
    with atomic_write(root / PRODUCT, "w") as stream:
        json.dump(product, stream, indent=1)


def product_metrics(root: Path, records: Sequence[StageRecord]) -> list[Metric]:
    """Costs of all stages, and what they say of their results."""
    found = [
        Metric("cpu_s", sum(one.cpu_s for one in records), "s", "lower", note="all stages"),
        Metric("peak_gb", max(one.peak_gb for one in records), "GB", "lower", note="largest of a stage"),
    ]
    mesh = read_json(root / "mesh" / "mesh.json")
    if isinstance(faces := mesh.get("faces"), int):
        found.append(Metric("faces", faces, "", None))
    for key, path in (("glb_mb", root / GLB), ("baked_mb", root / "bake" / "baked.bin")):
        if path.is_file():
            found.append(Metric(key, path.stat().st_size / 1e6, "MB", "lower"))
    for key, value in (
        (
            "psnr_field",
            read_json(root / "field" / "metrics.json").get("metrics", {}).get("psnr", {}).get("value"),
        ),
        ("psnr_glb", read_json(root / "texture" / "texture.json").get("psnr_mean", {}).get("held_out")),
    ):
        if isinstance(value, float):
            found.append(Metric(key, value, "dB", "higher", note="views held out"))
    sfm = read_json(root / "sfm" / "sfm.json")
    if isinstance(registered := sfm.get("registered"), int):
        found.append(Metric("registered", registered, "", "higher", note=f"of {sfm.get('total')} pictures"))
    return found
