"""The arrows of ARCHITECTURE.md, the lightness of the ground floor, and what no file may hold."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 450
HEAVY = {
    "torch",
    "torchvision",
    "scipy",
    "open3d",
    "trimesh",
    "matplotlib",
    "plotly",
    "sklearn",
    "skimage",
    "cv2",
    "av",
    "anny",
}
MODULES = ("spine", "falldet", "imcls", "nerfrecon")
LIGHT_IN_ENGINE = ("__init__.py", "options.py")  # the engine's other files exist for torch alone


def tracked(*suffixes: str) -> list[Path]:
    """Files that git knows, or would take; skips the test outside a checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    paths = sorted({ROOT / name for name in done.stdout.split("\0") if name})
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def lint_imports(folder: Path) -> str:
    """What import-linter says of the packages in ``folder`` under the contracts of pyproject.toml."""
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.path.insert(0, '.'); c()"
    command = [sys.executable, "-c", code, "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(folder)}
    )
    return done.stdout + done.stderr


def test_the_arrows_point_down():
    report = lint_imports(ROOT)
    assert re.search(r"Contracts: \d+ kept, 0 broken\.", report), report


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The same packages, with the modules that contracts name, each file empty."""
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.importlinter]")[2]
    named = set(re.findall(r"\b((?:suite|spine|falldet|imcls|nerfrecon)(?:\.[a-z_]+)+)", contracts))
    parts = {f"{package}.{name}" for package in ("suite", *MODULES) for name in ("cli", "pipeline", "parts")}
    for module in named | parts:
        path = (tmp_path / module.replace(".", "/")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for folder in {path.parent for path in tmp_path.rglob("*.py")}:
        (folder / "__init__.py").write_text("")
    for shadowed in tmp_path.rglob("*.py"):  # a package and a file of one name
        if shadowed.with_suffix("").is_dir():
            shadowed.unlink()
    return tmp_path


def test_packages_without_imports_break_no_contract(tiny: Path):
    (tiny / "spine" / "cli.py").write_text("import spine.pipeline, suite.run\n")
    (tiny / "spine" / "pipeline.py").write_text("import spine.parts, suite.config\n")
    assert re.search(r"Contracts: \d+ kept, 0 broken\.", lint_imports(tiny)), lint_imports(tiny)


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("suite/files.py", "spine.parts", "suite imports no module"),
        ("suite/run.py", "falldet", "suite imports no module"),
        ("spine/parts.py", "falldet.parts", "modules do not import one another"),
        ("nerfrecon/pipeline.py", "imcls", "modules do not import one another"),
        ("spine/parts.py", "spine.cli", "inside spine: nothing imports the command line"),
        ("spine/pipeline.py", "spine.cli", "inside spine: nothing imports the command line"),
        ("spine/parts.py", "spine.pipeline", "inside spine: only the command line imports the pipeline"),
        ("imcls/bench.py", "imcls.cli", "inside imcls: nothing imports the command line"),
        ("falldet/sizes.py", "falldet.cli", "inside falldet: nothing imports the command line"),
        (
            "falldet/detections.py",
            "falldet.model",
            "inside falldet: verbs over training over parts over the currency",
        ),
        ("falldet/model/options.py", "torch", "the settings of falldet need no heavy package"),
        ("imcls/data/options.py", "imcls.train", "inside imcls: verbs over training over parts over options"),
        ("imcls/model/options.py", "torch", "the settings of imcls need no heavy package"),
        ("nerfrecon/photos.py", "nerfrecon.cli", "inside nerfrecon: nothing imports the command line"),
        (
            "nerfrecon/render.py",
            "nerfrecon.backends.torch",
            "inside nerfrecon: verbs over training over backends over fields over options",
        ),
        (
            "nerfrecon/mesh/extract.py",
            "nerfrecon.texture.paint",
            "inside nerfrecon: verbs over training over backends over fields over options",
        ),
        ("nerfrecon/options.py", "torch", "the settings of nerfrecon need no heavy package"),
        ("nerfrecon/sfm/options.py", "numpy", "the settings of nerfrecon need no heavy package"),
        ("suite/config.py", "torch", "commands, configurations, runs and files need no heavy package"),
    ],
)
def test_a_planted_violation_is_found(tiny: Path, importer: str, imported: str, contract: str):
    (tiny / importer).write_text(f"def later():\n    import {imported}\n")  # a lazy import is an arrow too
    broken = [line for line in lint_imports(tiny).splitlines() if line.endswith("BROKEN")]
    assert [line.removesuffix("BROKEN").strip() for line in broken] == [contract]


def imports_at_top(tree: ast.Module) -> set[str]:
    """Packages that importing the module imports: not those inside functions or for type checkers only."""
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending += ast.iter_child_nodes(node)
    return found


def test_the_suite_imports_nothing_heavy_at_module_top():
    files = [path for path in tracked(".py") if path.is_relative_to(ROOT / "suite")]
    assert len(files) > 20
    for path in files:
        allowed = {"torch"} if "engine" in path.parts and path.name not in LIGHT_IN_ENGINE else set()
        found = imports_at_top(ast.parse(path.read_text(encoding="utf-8"))) & HEAVY - allowed
        assert not found, f"{path.relative_to(ROOT)} imports {', '.join(sorted(found))} at its top"


def test_imports_at_the_top_are_seen():
    text = """
if TYPE_CHECKING:
    import torch
try:
    import scipy.linalg
except ImportError:
    import plotly
def function():
    import matplotlib
class Class:
    from trimesh import Trimesh
    def method(self):
        import open3d
"""
    assert imports_at_top(ast.parse(text)) == {"scipy", "plotly", "trimesh"}


def test_no_file_is_longer_than_one_idea():
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in tracked(".py", ".js", ".css")
    }
    long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MOST_LINES}
    assert not long


# Put together here, so that this file does not hold what it forbids.
MACHINE = re.compile("|".join(["/" + folder + "/" for folder in ("work", "tmp", "home", "root", "Users")]))
REGISTRY = re.compile(
    "|".join(
        [
            "pypi" + r"\.org",
            "python" + "hosted",
            "registry" + r"\.npmjs",
            "deb" + r"\.debian",
            "download" + r"\.pytorch",
        ]
    )
)


def test_no_file_names_this_machine_or_a_registry():
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or an array
        for pattern in (MACHINE, REGISTRY):
            found = pattern.search(text)
            assert not found, f"{path.relative_to(ROOT)} holds {found.group()!r}"


def test_the_patterns_see_what_they_forbid():
    assert MACHINE.search("open('" + "/" + "work/x')")
    assert REGISTRY.search("https://" + "pypi" + ".org/simple")


def test_data_sets_are_looked_up_in_one_place():
    beside = "shared" + "/data"
    holders = [
        path.relative_to(ROOT).as_posix() for path in tracked(".py") if beside in path.read_text("utf-8")
    ]
    assert holders == ["suite/files.py"]


def test_a_wrong_shape_raises():
    from jaxtyping import TypeCheckError

    from suite.geometry.rotations import so3_exp

    assert so3_exp(np.zeros((4, 3))).shape == (4, 3, 3)
    with pytest.raises(TypeCheckError):
        so3_exp(np.zeros((4, 2)))
