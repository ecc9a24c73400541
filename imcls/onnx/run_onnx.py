"""Name what is in pictures, with an exported model: needs numpy, Pillow and onnxruntime, nothing else.

    python run_onnx.py photo.jpg more.png

Beside this file lie model.onnx, which takes (n, 3, px, px) uint8 RGB and normalises inside, preprocess.json,
which says how a picture becomes such a square, and labels.txt.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FAR_LARGER = 4
MOST_PIXELS = 100_000_000


def read_settings(folder):
    """preprocess.json as a dictionary, and in it the `labels`."""
    settings = json.loads((Path(folder) / "preprocess.json").read_text(encoding="utf-8"))
    settings["labels"] = (Path(folder) / "labels.txt").read_text(encoding="utf-8").splitlines()
    return settings


def square(path, settings):
    """A picture file as the model wants it: (3, px, px) uint8 RGB."""
    return prepare(read_rgb(path, settings["short_px"]), settings)


def read_rgb(path, short_px):
    """(h, w, 3) uint8 as a person sees the picture: upright by EXIF, transparent parts over white, 16-bit
    grey scaled to 8; a larger one shrunk to a shorter side of `short_px`."""
    with Image.open(path) as opened:
        width, height = opened.size
        far_larger = min(width, height) >= FAR_LARGER * short_px and width * height <= MOST_PIXELS
        if opened.format == "JPEG" and opened.mode in ("L", "RGB") and far_larger:
            opened.draft("RGB", (2 * short_px, 2 * short_px))  # decoded at 1/2, 1/4 or 1/8
        image = ImageOps.exif_transpose(opened)
        if image.mode == "I" or image.mode.startswith("I;16"):
            grey = np.round(np.asarray(image, np.float64) / 257.0).clip(0, 255).astype(np.uint8)
            rgb = np.repeat(grey[..., None], 3, axis=2)
        elif "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
            rgba = np.asarray(image.convert("RGBA"), np.float64)
            alpha = rgba[..., 3:] / 255.0
            rgb = np.round(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
        else:
            rgb = np.asarray(image.convert("RGB"))
    height, width = rgb.shape[:2]
    if min(height, width) > short_px:
        scale = short_px / min(height, width)
        rgb = resize(rgb, max(short_px, round(height * scale)), max(short_px, round(width * scale)))
    return rgb


def prepare(rgb, settings):
    """(h, w, 3) uint8 as (3, px, px): its centre, all of it stretched, or all of it with borders."""
    px, (height, width) = settings["image_px"], rgb.shape[:2]
    if settings["fit"] == "crop":
        side = max(1, round(settings["crop_share"] * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        rgb = resize(rgb[top : top + side, left : left + side], px, px)
    elif settings["fit"] == "squash":
        rgb = resize(rgb, px, px)
    else:
        scale = px / max(height, width)
        inner = resize(rgb, max(1, round(height * scale)), max(1, round(width * scale)))
        top, left = (px - inner.shape[0]) // 2, (px - inner.shape[1]) // 2
        rgb = np.full((px, px, 3), settings["border"], np.uint8)
        rgb[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return np.ascontiguousarray(rgb.transpose(2, 0, 1))


def resize(rgb, height, width):
    """Bilinear, the triangle as wide as the step when shrinking. In the fixed-point arithmetic of torch's
    antialiased resize of uint8, which the model was trained with, so that not one pixel differs."""
    if width != rgb.shape[1]:
        rgb = resize_rows(rgb.swapaxes(0, 1), width).swapaxes(0, 1)
    return rgb if height == rgb.shape[0] else resize_rows(rgb, height)


def resize_rows(rows, count):
    """The first axis of (n, m, 3) uint8 brought to `count`."""
    step = len(rows) / count
    reach = max(step, 1.0)
    centres = step * (np.arange(count) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), len(rows))
    at = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(0.0, 1.0 - np.abs(at - centres[:, None] + 0.5) / reach) * (at < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    # As many bits after the point as the largest weight leaves in 16 with a sign.
    bits = next(
        bits for bits in range(23) if bits == 22 or int(0.5 + weights.max() * 2 ** (bits + 1)) >= 2**15
    )
    fixed = (weights * 2**bits + 0.5).astype(np.int32)
    total = np.full((count, *rows.shape[1:]), 1 << (bits - 1), np.int32)
    for tap in range(fixed.shape[1]):
        total += fixed[:, tap, None, None] * rows[np.minimum(at[:, tap], len(rows) - 1)]
    return (total >> bits).clip(0, 255).astype(np.uint8)


def judge(session, squares):
    """Every output of the model by its name, for a list of squares."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": np.stack(squares)}), strict=True))


def labels_of(outputs, settings):
    """For each image, its labels with their probabilities, the likeliest first."""
    named = []
    for number, shares in enumerate(outputs["probabilities"]):
        if settings["multi_label"]:
            chosen = np.flatnonzero(shares > outputs["thresholds"][number])
        else:
            chosen = np.array([shares.argmax()])
        chosen = chosen[np.argsort(-shares[chosen], kind="stable")]
        named.append([(settings["labels"][i], float(shares[i])) for i in chosen])
    return named


def main(paths):
    """Print `path: label score, label score` for each picture; leaves with 1 where one cannot be read."""
    import onnxruntime

    here = Path(__file__).resolve().parent
    settings = read_settings(here)
    session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])
    failed = 0
    for path in paths:
        try:
            outputs = judge(session, [square(path, settings)])
        except (OSError, SyntaxError, ValueError) as error:
            print(f"{path}: cannot be read ({error})", file=sys.stderr)
            failed = 1
            continue
        labels = ", ".join(f"{name} {share:.4f}" for name, share in labels_of(outputs, settings)[0])
        print(f"{path}: {labels or '(none)'}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
