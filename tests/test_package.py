"""What is installed: the wheel's files, the versions it is built with, the native core and doing without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("suite", "spine", "falldet", "imcls", "nerfrecon")
SOURCES = re.compile(r"nerfrecon/native/([\w-]+\.(cpp|h)|CMakeLists\.txt)")


def files_of_packages() -> set[str]:
    """What git knows of the packages, or would take."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listing = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        *PACKAGES,
    ]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


def build(folder: Path, what: str = "build_wheel") -> subprocess.CompletedProcess[str]:
    """Build without CMake."""
    pytest.importorskip("scikit_build_core")
    code = f"from scikit_build_core.build import {what} as build; build({str(folder)!r})"
    environment = {**os.environ, "SUITE_PURE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_pure_wheel_holds_the_packages_and_nothing_else(tmp_path: Path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {name for name in files_of_packages() if SOURCES.fullmatch(name)}
    assert len(sources) > 10 and names == files_of_packages() - sources


def test_an_editable_installation_maps_nothing_so_that_the_working_folder_comes_first(tmp_path: Path):
    done = build(tmp_path, "build_editable")
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        text = {Path(name).suffix: archive.read(name).decode() for name in names}
    assert set(text) == {".py", ".pth"} and len(names) == 2
    assert str(ROOT) in text[".pth"].splitlines()
    assert text[".py"].rstrip().splitlines()[-1].startswith("install({}, {}, {}, [], ")


def test_what_builds_is_what_was_tested():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r"^requires = \[(.*)\]$", text, re.MULTILINE)
    assert required is not None
    pins = set((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    named = re.findall(r'"([^"]+)"', required.group(1))
    assert {name.partition("==")[0] for name in named} == {"scikit-build-core", "nanobind"}
    assert set(named) <= pins
