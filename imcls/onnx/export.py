"""Export: an ONNX graph with its preprocessing, which agree with the model on real images or are not written.

    folder/model.onnx         uint8 squares to probabilities and logits, normalisation inside
    folder/preprocess.json    how a picture becomes such a square, and how well all this agreed
    folder/labels.txt         the classes, one a line, in the order of the outputs
    folder/run_onnx.py        reads pictures and names them; numpy, Pillow and onnxruntime are all it needs

That very script, from the file to the logits, is compared with the path that `imcls predict` takes.
"""

from __future__ import annotations

import json
import runpy
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from imcls.config import TtaOptions
from imcls.data.fit import BORDER
from imcls.onnx.graph import INPUT, OPSET, open_onnx, run_onnx, write_onnx
from imcls.voting.vote import Voters, as_logits, member_logits
from suite.data.images import read_image
from suite.errors import BadInput, SuiteError
from suite.files import atomic_folder
from suite.progress import status

MODEL, PREPROCESS, LABELS, SCRIPT = "model.onnx", "preprocess.json", "labels.txt", "run_onnx.py"
TEMPLATE = Path(__file__).with_name("run_onnx.py")
FEWEST_IMAGES = 8
LOGIT_TOLERANCE = 1e-3
"""Largest difference of a logit, as a share of the logits' standard deviation over images and classes."""
PIXEL_TOLERANCE = 1
"""Largest difference of a pixel that went through either preprocessing, in levels of 255."""


class Disagreement(SuiteError):
    """The exported model says something else than the one it was made of; nothing was written."""


@dataclass(frozen=True)
class Agreement:
    """How far the exported path is from the model's own, over ``images`` pictures."""

    images: int
    largest_pixel_difference: int
    mean_pixel_difference: float
    largest_logit_difference: float
    """From the file to the logits."""
    largest_logit_difference_same_pixels: float
    """Of the graph alone, given the same squares."""
    logit_spread: float
    logit_tolerance: float
    pixel_tolerance: int

    @property
    def agrees(self) -> bool:
        """Whether all differences are within their tolerance; what is not a number does not agree."""
        bound = self.logit_tolerance * self.logit_spread
        return (
            self.largest_pixel_difference <= self.pixel_tolerance
            and self.largest_logit_difference <= bound
            and self.largest_logit_difference_same_pixels <= bound
        )

    def __str__(self) -> str:
        bound = self.logit_tolerance * self.logit_spread
        return (
            f"{self.images} images: pixels differ by up to {self.largest_pixel_difference} levels "
            f"(at most {self.pixel_tolerance}), logits by {self.largest_logit_difference:.2g} from the file "
            f"and {self.largest_logit_difference_same_pixels:.2g} from the same pixels (at most {bound:.2g})"
        )


def export(voters: Voters, out: Path, images: Sequence[Path]) -> Agreement:
    """Write the folder ``out``, or nothing.

    ``images`` are real pictures (at least 8) to compare on; some of them are compared once more turned by
    EXIF, cut to odd sizes, in grey and transparent. Raises Disagreement beyond the tolerances, BadInput
    for too few images or a folder that is there already.
    """
    if len(images) < FEWEST_IMAGES:
        raise BadInput(
            f"{len(images)} images to compare on, {FEWEST_IMAGES} are wanted",
            hint="name a folder of typical pictures with --images",
        )
    with atomic_folder(out) as folder:
        with status("Writing the graph"):
            write_onnx(folder / MODEL, voters)
        (folder / LABELS).write_text("".join(f"{_one_line(name)}\n" for name in voters.card.classes), "utf-8")
        settings = _settings(voters)
        _write_json(folder / PREPROCESS, settings)
        shutil.copyfile(TEMPLATE, folder / SCRIPT)
        with status("Comparing it with the model on real images"):
            agreement = compare(voters, folder, images)
        if not agreement.agrees:
            raise Disagreement(f"not exported: it does not agree with the model on {agreement}")
        _write_json(folder / PREPROCESS, settings | {"verified": asdict(agreement)})
    return agreement


def compare(voters: Voters, folder: Path, images: Sequence[Path]) -> Agreement:
    """The script in ``folder`` against the model, on ``images`` and harder versions of the first ones."""
    script = _loaded_script(folder / SCRIPT)
    settings = script.read_settings(folder)
    session = open_onnx(folder / MODEL)
    way = voters.card.preparation
    with tempfile.TemporaryDirectory() as temporary:
        paths = [*images, *harder_versions(images, Path(temporary))]
        own = torch.stack([way.square(path) for path in paths]).numpy()
        exported = np.stack([script.square(path, settings) for path in paths])
    pixels = np.abs(own.astype(np.int16) - exported.astype(np.int16))
    logits = _model_logits(voters, own)
    from_file = np.abs(run_onnx(session, exported)["logits"] - logits)
    same_pixels = np.abs(run_onnx(session, own)["logits"] - logits)
    return Agreement(
        images=len(paths),
        largest_pixel_difference=int(pixels.max()),
        mean_pixel_difference=round(float(pixels.mean()), 6),
        largest_logit_difference=float(from_file.max()),
        largest_logit_difference_same_pixels=float(same_pixels.max()),
        logit_spread=float(logits.std()),
        logit_tolerance=LOGIT_TOLERANCE,
        pixel_tolerance=PIXEL_TOLERANCE,
    )


def harder_versions(images: Sequence[Path], folder: Path) -> list[Path]:
    """Real pictures as careless readers misread them: turned by EXIF, of odd sizes, grey, transparent."""
    from PIL import Image

    pictures = [Image.fromarray(read_image(path)) for path in images[:4]]
    turned, odd, grey, clear = (pictures[i % len(pictures)] for i in range(4))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    width, height = odd.size
    odd.crop((0, 0, max(1, width - 1 - width % 2), max(1, 2 * height // 3))).save(folder / "odd.png")
    grey.convert("L").save(folder / "grey.png")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(folder / "clear.png")
    return [folder / name for name in ("turned.jpg", "odd.png", "grey.png", "clear.png")]


def _model_logits(voters: Voters, squares: np.ndarray) -> np.ndarray:
    """What the exported `logits` must be: the model's own, or those of the vote of several."""
    images = torch.from_numpy(squares)
    if len(voters.members) == 1:
        with torch.inference_mode():
            return member_logits(voters.members[0], images, TtaOptions())[0].float().numpy()
    votes = voters.vote(dict.fromkeys(voters.preparations, images), TtaOptions())
    return as_logits(votes.probabilities, voters.card.multi_label)


def _settings(voters: Voters) -> dict[str, Any]:
    card = voters.card
    px = card.image_px
    outputs = {"probabilities": "(n, k) float32, calibrated", "logits": "(n, k) float32, before calibration"}
    if card.multi_label:
        outputs["thresholds"] = "(n, k) float32, a label is given where its probability is above"
    return {
        "version": 1,
        "model": {
            "file": MODEL,
            "opset": OPSET,
            "members": len(voters.members),
            "weights": list(voters.weights),
        },
        "input": {"name": INPUT, "shape": ["n", 3, px, px], "type": "uint8", "channels": "RGB"},
        "outputs": outputs,
        "multi_label": card.multi_label,
        "image_px": px,
        "fit": card.fit,
        "crop_share": card.crop_share,
        "short_px": card.short_px,
        "border": BORDER,
        "resampling": "bilinear, antialiased, in fixed point: `resize` of run_onnx.py",
        "inside_the_graph": {"scale": 255, "mean": list(card.mean), "std": list(card.std)},
    }


def _loaded_script(path: Path) -> SimpleNamespace:
    """The script that was written, by its names: what is compared is the file that others will run."""
    return SimpleNamespace(**runpy.run_path(str(path), run_name="exported"))


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", "utf-8")


def _one_line(name: str) -> str:
    return " ".join(name.split())
