"""What is installed, what is missing and what it would enable: one table."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite import environment
from suite.errors import BackendUnavailable
from suite.files import data_folder

if TYPE_CHECKING:
    from rich.console import Console

DISTRIBUTION = "vision-suite"
REQUIRED = ("click", "jaxtyping", "numpy", "pillow", "pydantic", "pyyaml", "rich")


@dataclass(frozen=True)
class Optional:
    """A package that one of the extras brings: how Python imports it and what it makes possible."""

    package: str
    module: str
    extra: str
    enables: str
    source: str = ""
    """Where it is from, if no index has it."""


OPTIONAL = (
    Optional("scipy", "scipy", "spine", "spine: surfaces, landmarks and the fit"),
    Optional("open3d", "open3d", "spine", "spine: many RGB-D frames fused into one surface, PCD files"),
    Optional("trimesh", "trimesh", "spine", "spine: checks and repairs of meshes"),
    Optional("safetensors", "safetensors", "spine", "spine: the learned model of the landmarks"),
    Optional("threadpoolctl", "threadpoolctl", "spine", "spine: small products of matrices on one thread"),
    Optional(
        "torch",
        "torch",
        "train",
        "imcls, falldet, nerfrecon: all; spine: training of the landmark model",
    ),
    Optional("lightning-fabric", "lightning_fabric", "train", "training: precision, several processes"),
    Optional("tensorboard", "tensorboard", "train", "training: event files, if asked for"),
    Optional(
        "torchvision", "torchvision", "imcls", "imcls: backbones, decoding, transforms; falldet: operators"
    ),
    Optional("timm", "timm", "imcls", "imcls: backbones"),
    Optional("scikit-learn", "sklearn", "imcls", "imcls: the digits of the demo"),
    Optional("onnx", "onnx", "imcls", "imcls: export"),
    Optional("onnxscript", "onnxscript", "imcls", "imcls: export"),
    Optional("onnxruntime", "onnxruntime", "imcls", "imcls: export, which is checked by running it"),
    Optional(
        "opencv-python-headless", "cv2", "falldet", "falldet: scaling of pictures, cameras; nerfrecon: lenses"
    ),
    Optional("av", "av", "falldet", "falldet: videos"),
    Optional("faster-coco-eval", "faster_coco_eval", "falldet", "falldet: average precision"),
    Optional("aiohttp", "aiohttp", "watch", "falldet watch: the live page"),
    Optional("paho-mqtt", "paho", "watch", "falldet watch: messages by MQTT"),
    Optional("anny", "anny", "body", "simulated people"),
    Optional("mmdet", "mmdet", "mmdet", "falldet: training by mmdet, with any of its configs"),
    Optional("mmengine", "mmengine", "mmdet", "falldet: the same"),
    Optional("scikit-image", "skimage", "nerfrecon", "nerfrecon: meshes of fields"),
    Optional("pycolmap", "pycolmap", "nerfrecon", "nerfrecon: cameras of photographs"),
    Optional("fast-simplification", "fast_simplification", "nerfrecon", "nerfrecon: meshes of fewer faces"),
    Optional("xatlas", "xatlas", "nerfrecon", "nerfrecon: textures' charts"),
    Optional("nerfacc", "nerfacc", "tcnn", "nerfrecon: backend tcnn, on a GPU"),
    Optional(
        "tinycudann",
        "tinycudann",
        "tcnn",
        "nerfrecon: the same",
        "pip install 'git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch' (needs nvcc)",
    ),
    Optional("matplotlib", "matplotlib", "report", "figures in reports"),
    Optional("plotly", "plotly", "report", "interactive figures in reports"),
)
_TOOLS = (
    ("chromium", ("chromium", "chromium-browser", "google-chrome"), "tests that render report pages"),
    ("C++ compiler", ("c++", "g++", "clang++"), "native kernels (without one, the reference in Python runs)"),
    ("git", ("git",), "the commit in a run's record"),
)


@dataclass(frozen=True)
class Finding:
    """One row: ``found`` is what is there (None: missing), ``note`` what it enables and how to get it."""

    section: str
    name: str
    found: str | None
    note: str = ""


def examine() -> list[Finding]:
    """Look at the machine, the packages, the tools and the data sets; imports no package it looks for."""
    from importlib.metadata import entry_points

    name, flags = environment.cpu()
    memory = environment.memory_gib()
    findings = [
        Finding("machine", "Python", platform.python_version(), sys.executable),
        Finding(
            "machine", "CPU", name, f"{environment.cores()} cores; {' '.join(flags) or 'no known ISA flags'}"
        ),
        Finding("machine", "memory", f"{memory:.1f} GiB" if memory else None),
    ]
    installed = environment.packages()
    findings += [Finding("required", package, installed.get(package), _install()) for package in REQUIRED]
    for optional in OPTIONAL:
        version = installed.get(optional.package)
        advice = "" if version else f"; {optional.source or _install(optional.extra)}"
        findings.append(Finding("optional", optional.package, version, optional.enables + advice))
    findings += _accelerator(installed)
    for point in entry_points(group="suite.doctor"):  # what modules know of themselves
        findings += point.load()()
    for tool, commands, enables in _TOOLS:
        path = next((found for command in commands if (found := shutil.which(command))), None)
        findings.append(Finding("tools", tool, path, enables))
    return [*findings, *_data_sets()]


def show(console: Console | None = None) -> None:
    """Print the table; in a pipe it is plain text, one finding to a line."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=240, color_system=None)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in ("", "what", "found", "what for"):
        table.add_column(column, overflow="fold")
    section = ""
    for finding in examine():
        if section and finding.section != section:
            table.add_section()
        missing = finding.found is None
        if missing:
            found = "[yellow]missing[/]" if console.is_terminal else "missing"
        else:
            found = str(finding.found)
        note = "" if finding.section == "required" and not missing else finding.note
        first = finding.section != section or not console.is_terminal
        table.add_row(finding.section if first else "", finding.name, found, escape(note))
        section = finding.section
    console.print(table)


def missing(error: ModuleNotFoundError) -> BackendUnavailable | None:
    """What to tell someone whose command needs an optional package; None if the module is none of these."""
    module = (error.name or "").partition(".")[0]
    for optional in OPTIONAL:
        if optional.module == module:
            return BackendUnavailable(
                optional.package, "it is not installed", optional.source or _install(optional.extra)
            )
    return None


def _accelerator(installed: dict[str, str]) -> list[Finding]:
    cuda = next((v for n, v in installed.items() if n.startswith("nvidia-cuda-runtime")), None)
    driver = Path("/proc/driver/nvidia/version")
    version = driver.read_text().splitlines()[0].strip() if driver.is_file() else None
    trains = "spine: training the model of the landmarks, on the CPU"
    advice = "" if "torch" in installed else f"; {_install('train')}"
    torch = Finding("accelerator", "torch", installed.get("torch"), trains + advice)
    if "torch" in installed:
        return [
            torch,
            Finding("accelerator", "CUDA runtime", cuda, "torch on a GPU"),
            Finding("accelerator", "NVIDIA driver", version, "torch on a GPU"),
        ]
    return [torch, Finding("accelerator", "NVIDIA driver", version, "computing on a GPU")]


def _data_sets() -> list[Finding]:
    root = data_folder(".")
    note = "tests and benchmarks on real data; name their folder with SUITE_DATA"
    if root is None:
        return [Finding("data", "data sets", None, note)]
    sets = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*") if path.is_dir())
    return [Finding("data", name, str(root / name), "" if index else note) for index, name in enumerate(sets)]


def _install(extra: str | None = None) -> str:
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"
