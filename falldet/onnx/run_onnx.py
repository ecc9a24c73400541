"""Look for people, fallen or not, in pictures: needs numpy, Pillow and onnxruntime, nothing else.

    python run_onnx.py MODEL.onnx photo.jpg folder more.png

One JSON line for each picture: name, width_px, height_px, detections (class, score, box_px: left, top, right,
bottom). The model takes one picture, (h, w, 3) uint8 RGB of any size, and gives boxes_px (k, 4), scores (k,),
labels (k,), the most certain first; its metadata names the classes and the threshold.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

KINDS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif")


def open_model(path, threads=0):
    """The model and what its metadata says: classes, threshold; 0 threads: as many as fit."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    return session, {"classes": json.loads(said["classes"]), "threshold": float(said["threshold"])}


def read_rgb(path):
    """(h, w, 3) uint8 as a person sees the picture: upright by EXIF, transparent parts over white, 16-bit
    grey scaled to 8."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "I" or image.mode.startswith("I;16"):
            grey = np.round(np.asarray(image, np.float64) / 257.0).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.mode == "F":
            raise ValueError("floating-point values, not a picture")
        if image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA"), np.float64)
            alpha = rgba[..., 3:] / 255.0
            return np.round(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
        return np.array(image.convert("RGB"))


def detect(session, rgb):
    """boxes_px (k, 4) float32, scores (k,) float32, labels (k,) int64 of everything the model tells."""
    names = ["boxes_px", "scores", "labels"]
    boxes_px, scores, labels = session.run(names, {"picture": np.ascontiguousarray(rgb)})
    return boxes_px, scores, labels.astype(np.int64)


def line_of(name, rgb, found, said, threshold=None):
    """What is printed of one picture: people with at least the threshold, by default the model's own."""
    threshold = said["threshold"] if threshold is None else threshold
    detections = [
        {
            "class": said["classes"][label],
            "score": round(float(score), 4),
            "box_px": [round(float(edge), 1) for edge in box],
        }
        for box, score, label in zip(*found, strict=True)
        if score >= threshold
    ]
    return {"name": name, "width_px": rgb.shape[1], "height_px": rgb.shape[0], "detections": detections}


def named_pictures(paths):
    """(name, path) of each picture: that of its file, or below the folder that was given."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path.name, path
            continue
        for inner in sorted(path.rglob("*")):
            if inner.is_file() and inner.suffix.lower() in KINDS:
                yield inner.relative_to(path).as_posix(), inner


def main(arguments):
    """Print a line for each picture; leaves with 1 where one cannot be read."""
    parser = argparse.ArgumentParser(description="Look for people, fallen or not, in pictures.")
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--threshold", type=float, help="score from which a person is told")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args(arguments)
    session, said = open_model(options.model, options.threads)
    failed = 0
    for name, path in named_pictures(options.pictures):
        try:
            rgb = read_rgb(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            print(f"{path}: cannot be read ({error})", file=sys.stderr)
            failed = 1
            continue
        line = line_of(name, rgb, detect(session, rgb), said, options.threshold)
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
