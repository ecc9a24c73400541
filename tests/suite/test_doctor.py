import io
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rich.console import Console

from nerfrecon.doctor import findings as core_of_nerfrecon
from suite import doctor, environment

ROOT = Path(__file__).parents[2]


def requirements(name: str) -> set[str]:
    """The packages that one list in pyproject.toml asks for."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(rf"^{name} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    return {re.split(r"[\[<>=]", word)[0] for word in re.findall(r'"([^"]+)"', listed.group(1))}


def test_the_table_agrees_with_pyproject():
    assert set(doctor.REQUIRED) == requirements("dependencies")
    for extra in ("report", "spine", "train", "imcls", "watch", "nerfrecon", "tcnn"):
        indexed = [optional for optional in doctor.OPTIONAL if not optional.source]
        listed = {optional.package for optional in indexed if optional.extra == extra}
        elsewhere = {optional.package for optional in doctor.OPTIONAL if optional.extra != extra}
        assert listed == requirements(extra) - {"vision-suite"} - elsewhere  # each is listed once


def test_what_is_missing_says_what_it_would_enable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(environment, "packages", lambda: {"numpy": "2.0"})
    monkeypatch.setenv("SUITE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["numpy"].found == "2.0"
    assert findings["open3d"].found is None
    assert findings["open3d"].note.endswith("pip install 'vision-suite[spine]'")
    assert findings["plotly"].note.endswith("pip install 'vision-suite[report]'")
    assert findings["nerfacc"].note.endswith("pip install 'vision-suite[tcnn]'")
    assert "tiny-cuda-nn" in findings["tinycudann"].note and "vision-suite" not in findings["tinycudann"].note
    assert findings["chromium"].found is None
    assert "SUITE_DATA" in findings["data sets"].note


def test_the_native_core_says_its_instruction_sets_or_why_it_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SUITE_PURE", raising=False)
    native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
    (found,) = core_of_nerfrecon()
    assert native.runnable()[-1] == "portable" and found.found == ", ".join(native.runnable())
    monkeypatch.setenv("SUITE_PURE", "1")
    (found,) = core_of_nerfrecon()
    assert found.found is None and "SUITE_PURE=1 switches it off" in found.note
    monkeypatch.delenv("SUITE_PURE")
    monkeypatch.setattr("nerfrecon.native.find_spec", lambda _: None)
    (found,) = core_of_nerfrecon()
    assert found.found is None and "not built at installation" in found.note and "\n" not in found.note


def test_what_modules_know_of_themselves_is_in_the_table():
    names = {point.name for point in entry_points(group="suite.doctor")}
    assert names == {"nerfrecon", "capture"}
    assert {row.name for row in core_of_nerfrecon()} <= {finding.name for finding in doctor.examine()}


def test_data_sets_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "spine" / "backs").mkdir(parents=True)
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    assert (
        doctor.Finding("data", "spine/backs", str(tmp_path / "spine" / "backs"), doctor.examine()[-1].note)
        == (doctor.examine()[-1])
    )


def test_a_piped_table_is_plain_text_with_one_finding_a_line():
    stream = io.StringIO()
    doctor.show(Console(file=stream))
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert len(lines) == len(doctor.examine()) + 1
    assert any(re.match(r"required +numpy +[0-9.]+", line) for line in lines)


def test_a_terminal_gets_colours():
    stream = io.StringIO()
    doctor.show(Console(file=stream, force_terminal=True, width=100))
    assert "\x1b" in stream.getvalue()


def test_the_doctor_imports_none_of_what_it_looks_for():
    code = "import sys, suite.doctor as d; d.show(); print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "scipy", "open3d", "trimesh", "matplotlib", "plotly", "numpy"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_module_that_is_not_installed_is_explained():
    unavailable = doctor.missing(ModuleNotFoundError("No module named 'open3d'", name="open3d.geometry"))
    assert (
        str(unavailable) == "open3d is not available: it is not installed; pip install 'vision-suite[spine]'"
    )
    assert doctor.missing(ModuleNotFoundError("No module named 'x'", name="x")) is None


def test_versions_are_those_of_the_metadata():
    from importlib.metadata import version

    found = environment.packages()
    for package in ("numpy", "pydantic", "pyyaml", "rich"):
        assert found[package] == version(package)


def test_the_machine_is_known():
    name, _ = environment.cpu()
    assert name
    assert environment.cores() >= 1
    assert environment.memory_gib() > 0.1
