"""The command line of capture-rgbd; what is heavy is imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suite.cli import entry, print_table

if TYPE_CHECKING:
    from suite.capture.record import RecordOptions

_PATH: Any = click.Path(path_type=Path)
_FILTER = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME",
    help="threshold, spatial or temporal, in this order; may be given several times.  [default: none]",
)
_ALIGN = click.option("--align", is_flag=True, help="Register colour to depth while recording.")


@click.group()
@click.version_option(package_name="vision-suite")
def capture() -> None:
    """Record a RealSense depth camera to the suite's RGB-D recordings, for spine and others.

    Portrait, 0.7 to 0.9 m behind a bare back, breath held; docs/capture.md says how and why.
    """


@capture.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """Say which cameras are plugged in."""
    from suite.capture.devices import NONE_FOUND, connected, describe, devices_table

    found = [describe(device) for device in connected()]
    if not found:
        click.echo(NONE_FOUND, err=True)
        ctx.exit(1)
    print_table(devices_table(found))


@capture.command()
@click.argument("out", type=_PATH)
@click.option("--frames", default=60, show_default=True, metavar="N", help="0: until Ctrl-C.")
@click.option("--countdown", default=5.0, show_default=True, metavar="SECONDS", help="Time to take place.")
@click.option("--preset", default="auto", show_default=True, help="D415, D435 or D455.")
@click.option("--size", metavar="WxH", help="Of the depth image.  [default: the preset's]")
@click.option("--fps", type=int, help="Frames a second.  [default: the preset's]")
@click.option("--laser", type=int, metavar="MW", help="Power of the laser.  [default: the preset's]")
@click.option("--color/--no-color", default=True, help="Record colour.  [default: yes]")
@click.option("--jpeg", is_flag=True, help="Colour as JPEG: smaller, and not exact.")
@_FILTER
@_ALIGN
@click.option("--raw", type=_PATH, metavar="FILE.db3", help="Write librealsense's own file besides.")
@click.option("--serial", help="Of the camera, where there are several.")
@click.option("--simulated", metavar="MODEL", help="Rehearse without a camera: D415, D435, D435I or D455.")
@click.pass_context
def record(
    ctx: click.Context,
    out: Path,
    frames: int,
    countdown: float,
    preset: str,
    size: str | None,
    fps: int | None,
    laser: int | None,
    color: bool,
    jpeg: bool,
    filters: tuple[str, ...],
    align: bool,
    raw: Path | None,
    serial: str | None,
    simulated: str | None,
) -> None:
    """Record a camera into the folder OUT; Ctrl-C ends it and keeps what there is."""
    from suite.capture.devices import describe, find_device
    from suite.capture.presets import changed, preset_for
    from suite.capture.record import RecordOptions
    from suite.errors import BadInput

    if frames < 0 or countdown < 0:
        raise BadInput("--frames and --countdown are not negative")
    options = RecordOptions(
        frames, countdown, color, "jpg" if jpeg else "png", filters, align, raw, threads=2
    )
    if simulated is None:
        device = find_device(serial)
        chosen = changed(preset_for(describe(device).name, preset), size, fps, laser)
        _record(ctx, device, chosen, out, options)
    else:
        from suite.capture.simulated import SimulatedCamera
        from suite.progress import status

        with SimulatedCamera(simulated, pictures=16) as camera:
            chosen = changed(preset_for(describe(camera.device).name, preset), size, fps, laser)
            with status("pictures of the simulated camera"):
                camera.prepare(chosen.depth_px, *((chosen.color_px,) if color else ()))
            _record(ctx, camera.device, chosen, out, options)


def _record(ctx: click.Context, device: Any, preset: Any, out: Path, options: RecordOptions) -> None:
    from suite.capture.record import record

    done = record(device, preset, out, options)
    for remark in done.remarks:
        click.echo(remark, err=True)
    click.echo(done.acceptance.line())
    if done.stopped and options.frames:
        ctx.exit(130)


@capture.command("import")
@click.argument("source", type=_PATH, metavar="FILE.db3|FILE.bag|FOLDER")
@click.argument("out", type=_PATH)
@_FILTER
@_ALIGN
@click.option(
    "--depth-unit", type=float, metavar="M", help="Metres per count, where the folder says it wrong."
)
@click.option("--fps", default=30.0, show_default=True, help="Of a folder, which knows no times.")
def import_(
    source: Path, out: Path, filters: tuple[str, ...], align: bool, depth_unit: float | None, fps: float
) -> None:
    """Turn a recording of librealsense, or a folder of depth images, into the folder OUT."""
    from suite.capture.acceptance import assess
    from suite.capture.importing import ImportOptions, import_recording
    from suite.data.recording import read_recording
    from suite.errors import BadInput

    if not fps > 0:
        raise BadInput(f"--fps is {fps:g}", hint="give frames a second, such as 30")
    import_recording(source, out, ImportOptions(filters, align, depth_unit, fps))
    click.echo(assess(read_recording(out)).line())


@capture.command()
@click.argument("recording", type=_PATH)
@click.option("--png", type=_PATH, help="The picture.  [default: RECORDING/inspect.png]")
def inspect(recording: Path, png: Path | None) -> None:
    """Print what is in a recording, and picture it."""
    from suite.capture.acceptance import assess
    from suite.capture.inspect import recording_table
    from suite.capture.picture import draw_recording
    from suite.data.recording import read_recording

    found = read_recording(recording)
    acceptance = assess(found)
    print_table(recording_table(found, acceptance))
    click.echo(acceptance.line())
    click.echo(draw_recording(found, acceptance, png or recording / "inspect.png"))


main = entry(capture, "capture-rgbd")
