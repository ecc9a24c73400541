"""The order of a product's stages, what is made again when settings change, and faults as one line.

The rooms are stood in for by functions that write a line of what they were given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nerfrecon import product
from nerfrecon.cli import nerfrecon
from nerfrecon.product_config import RECIPES, ProductConfig
from nerfrecon.product_folder import field_folder, is_product, read_json
from suite.config import load_config
from suite.errors import BadInput
from suite.run import Run


@pytest.fixture
def rooms(monkeypatch) -> list[str]:
    """Stands in for every room; lists which of them were called."""
    called: list[str] = []

    def writes(out: Path, name: str, files: dict[str, object]) -> Path:
        called.append(out.name)
        out.mkdir(parents=True)
        for file, content in files.items():
            (out / file).write_text(content if isinstance(content, str) else json.dumps(content))
        return out / name

    def frames(source, out, config):
        return writes(out, "", {"frames.json": sorted(path.name for path in source.iterdir())})

    def sfm(frames, out, config):
        total = len(read_list(frames / "frames.json"))
        return writes(out, "", {"sfm.json": {"registered": total, "total": total}})

    def isolate(scene, out, config, sfm):
        return writes(out, "", {"transforms.json": {"from": scene.name}, "object.json": {"sfm": bool(sfm)}})

    def train(config, out):
        return writes(out, "", {"field.safetensors": f"{config.train.cpu_s} {config.scene.name}"})

    def mesh(field, out, config):
        return writes(
            out, "", {"mesh.ply": str(config.mesh.faces), "mesh.json": {"faces": config.mesh.faces}}
        )

    def texture(mesh, field, out, config):
        return writes(out, "", {"model.glb": mesh.read_text() + str(config.texture.picture_px)})

    def bake(field, out, config):
        return writes(out, "", {"baked.bin": str(config.bake.most_mb)})

    def read_list(path: Path) -> list:
        return json.loads(path.read_text())

    fakes = {"frames": frames, "sfm": sfm, "object": isolate, "train": train, "mesh": mesh}
    for name, fake in {**fakes, "texture": texture, "bake": bake}.items():
        monkeypatch.setattr(product, f"_{name}", fake)
    monkeypatch.setattr(product, "_publish", lambda root, title, record: None)
    monkeypatch.setattr(product, "_write_report", lambda root: (root / "report.html").write_text("report"))
    return called


@pytest.fixture
def photographs(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_text(str(number))
    return folder


def made(photographs: Path, root: Path, *settings: str, quality: str = "draft") -> Run:
    given = [f"source={photographs}", *settings]
    config = load_config(ProductConfig, RECIPES / f"{quality}.yaml", given).config
    with product.product_run(root, config) as run:
        product.make_product(config, run)
    return run


ALL = ["frames", "sfm", "object", "field", "mesh", "texture", "bake"]


def test_only_stages_that_a_setting_concerns_are_made_again(rooms, photographs, tmp_path):
    root = tmp_path / "product"
    run = made(photographs, root)
    assert rooms == ALL and run.status == "finished"
    assert {metric.key: metric.value for metric in run.metrics}["registered"] == 4
    told = read_json(root / "product.json")
    assert [one["name"] for one in told["stages"]] == ALL and told["total"]["cpu_s"] >= 0
    assert is_product(root) and field_folder(root) == root / "field" and field_folder(tmp_path) == tmp_path
    for settings, again in (
        ((), []),
        (("texture.picture_px=500",), ["texture"]),
        (("texture.picture_px=500", "mesh.faces=1000"), ["mesh", "texture"]),
        (("texture.picture_px=500", "mesh.faces=1000", "bake.most_mb=3.0"), ["bake"]),
        (("field.train.cpu_s=7.0",), ["field", "mesh", "texture", "bake"]),
        (("viewer.title=Mug", "name=mug", "field.train.cpu_s=7.0"), []),
    ):
        rooms.clear()
        made(photographs, root, *settings)
        assert rooms == again, settings
    rooms.clear()
    (photographs / "4.jpg").write_text("4")
    made(photographs, root, "field.train.cpu_s=7.0")
    assert rooms[:3] == ["frames", "sfm", "object"] and read_json(root / "sfm/sfm.json")["total"] == 5
    assert load_config(ProductConfig, root / "config.yaml").config.field.train.cpu_s == 7.0


def test_known_poses_take_the_place_of_frames_and_sfm(rooms, photographs, tmp_path):
    config = load_config(ProductConfig, RECIPES / "draft.yaml", [f"poses={photographs}"]).config
    with Run.create(tmp_path / "product", config=config) as run:
        product.make_product(config, run)
    assert rooms == ALL[2:] and read_json(run.folder / "object/object.json") == {"sfm": False}
    rooms.clear()
    config = config.model_copy(update={"viewer": config.viewer.model_copy(update={"baked": False})})
    with Run.create(tmp_path / "plain", config=config) as run:
        product.make_product(config, run)
    assert rooms == ALL[2:-1]


def test_what_is_done_stays_when_a_stage_refuses(rooms, photographs, tmp_path, monkeypatch):
    def refuse(scene, out, config, sfm):
        raise BadInput("no object stands out", scene, hint="give masks")

    root = tmp_path / "product"
    with monkeypatch.context() as patch:
        patch.setattr(product, "_object", refuse)
        with pytest.raises(BadInput, match="no object stands out; give masks"):
            made(photographs, root)
    assert Run.open(root).status == "failed" and (root / "report.html").is_file()
    assert [one["name"] for one in read_json(root / "product.json")["stages"]] == ["frames", "sfm"]
    rooms.clear()
    assert made(photographs, root).status == "finished" and rooms == ALL[2:]


def test_two_processes_are_not_in_one_folder(rooms, photographs, tmp_path):
    root = tmp_path / "product"
    made(photographs, root)
    settings = (root / "config.yaml").read_text()
    holds = "from suite.files import sole\nwith sole(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", "import sys, time; " + holds, str(root)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(BadInput, match="product: another process is at work in this folder; wait"):
            made(photographs, root, "mesh.faces=1000")
        assert (root / "config.yaml").read_text() == settings and Run.open(root).status == "finished"
        other.kill()
    made(photographs, root, "mesh.faces=1000")  # a kill lets go
    assert rooms[-2:] == ["mesh", "texture"]
    with pytest.raises(BadInput, match=r"0\.jpg: is a file"):
        made(photographs, photographs / "0.jpg")
    with pytest.raises(BadInput, match="photographs: exists already and is not empty"):
        made(photographs, photographs)


def test_every_recipe_is_a_product():
    seconds = []
    for quality in ("draft", "standard", "high"):
        config = load_config(ProductConfig, RECIPES / f"{quality}.yaml", ["name=mug"]).config
        assert config.quality == quality
        seconds.append(config.field.train.cpu_s)
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere"], "nowhere: no such folder of photographs, and no such video"),
        (["run", "empty", "mesh.facets=3"], "mesh.facets"),
        (["run", "empty", "--quality", "best"], "draft"),
        (["run", "empty", "poses=empty"], "source or poses"),
        (["run", "empty", "field.scene=empty"], "field.scene and field.box come from stage object"),
        (["run", "empty", "more"], "settings are written key=value"),
        (["view", "empty"], "empty: has no pages to look at"),
        (["eval", "empty", "--mesh"], "--mesh needs --truth"),
        (["render", "empty", "--video", "turn.mp4"], "give --orbit COUNT"),
    ],
)
def test_faults_are_told_in_a_line(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(nerfrecon, words)
    assert result.exit_code != 0 and said in result.output + str(result.exception)
    assert "Traceback" not in result.output and not (tmp_path / "runs" / "empty" / "product.json").exists()


def test_the_command_line_stays_light():
    heavy = ["numpy", "torch", "cv2", "scipy", "matplotlib", "PIL", "pycolmap", "open3d", "av"]
    light = (
        "import sys, nerfrecon.cli, nerfrecon.product_config, nerfrecon.product_folder\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_view_names_the_pages_and_opens_them(tmp_path, monkeypatch):
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    for name in ("report.html", "baked.html"):
        (tmp_path / name).write_text("page")
    told = CliRunner().invoke(nerfrecon, ["view", str(tmp_path), "--no-open"])
    assert told.exit_code == 0 and len(told.output.splitlines()) == 2 and not opened
    assert CliRunner().invoke(nerfrecon, ["view", str(tmp_path)]).exit_code == 0
    assert [Path(one).name for one in opened] == ["report.html", "baked.html"]
