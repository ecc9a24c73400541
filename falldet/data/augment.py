"""Training pictures varied: one affine map, then colours and the faults of cameras. Pure functions of a
generator."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from falldet.data.augment_options import AugmentOptions

PAD = 114
"""Grey around pictures."""
_SMALLEST_SIDE_PX = 6.0
_CLOSE = (0.35, 0.95)
"""Share of the canvas' side that the longer side of somebody seen closely fills."""
_COARSE = (0.35, 0.8)
"""How much smaller a coarse picture was."""


class Sample(NamedTuple):
    """A picture and the people in it; boxes (x1, y1, x2, y2) in its pixels."""

    rgb: UInt8[np.ndarray, "h w 3"]
    boxes_px: Float32[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]


def augmented(
    samples: list[Sample], canvas_px: int, options: AugmentOptions, rng: np.random.Generator
) -> Sample:
    """One square sample of side ``canvas_px``, from one picture or, as a mosaic, from four."""
    if len(samples) == 1:
        sample = placed(samples[0], canvas_px, options, rng)
    else:
        sample = mosaic(samples, canvas_px, options, rng)
    sample = erased(sample, options, rng)
    rgb = sample.rgb
    if rng.random() < options.flip:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
        boxes = sample.boxes_px.copy()
        boxes[:, [0, 2]] = canvas_px - sample.boxes_px[:, [2, 0]]
        sample = sample._replace(boxes_px=boxes)
    return sample._replace(rgb=with_camera_faults(recoloured(rgb, options, rng), options, rng))


def placed(
    sample: Sample,
    canvas_px: int,
    options: AugmentOptions,
    rng: np.random.Generator,
    seen_px: tuple[int, int] | None = None,
) -> Sample:
    """The picture scaled, turned, stretched and moved on a square canvas, of which ``seen_px`` (width,
    height) at the upper left are kept."""
    height, width = sample.rgb.shape[:2]
    person = _looked_at(sample, options, rng) if seen_px is None else None
    low, high = np.log(options.scale if person is None else _CLOSE)
    whole_px = max(height, width) if person is None else float((person[2:] - person[:2]).max())
    scale = canvas_px / whole_px * np.exp(rng.uniform(low, high))
    stretch = np.exp(rng.uniform(-options.stretch, options.stretch))
    angle = np.deg2rad(rng.uniform(-options.rotate_deg, options.rotate_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * stretch, scale / stretch])
    if person is None:
        # A picture larger than the canvas may show any part of it; a smaller one may lie anywhere on it.
        middle, size = np.array([width, height]) / 2, np.array([width, height])
        spare = np.abs(canvas_px - scale * size) / 2 + options.shift * canvas_px / 2
    else:
        middle, size = (person[:2] + person[2:]) / 2, person[2:] - person[:2]
        spare = np.maximum(canvas_px - scale * size, 0) / 2
    move = canvas_px / 2 + rng.uniform(-1, 1, 2) * spare - linear @ middle
    seen = seen_px or (canvas_px, canvas_px)
    return warped(sample, np.concatenate([linear, move[:, None]], 1), seen, options.smallest_share)


def _looked_at(
    sample: Sample, options: AugmentOptions, rng: np.random.Generator
) -> Float64[np.ndarray, " 4"] | None:
    """Box of somebody to come close to, or None for the usual view."""
    if rng.random() >= options.close or not len(sample.boxes_px):
        return None
    return sample.boxes_px[rng.integers(len(sample.boxes_px))].astype(np.float64)


def warped(
    sample: Sample,
    map_canvas_picture: Float64[np.ndarray, "2 3"],
    size_px: tuple[int, int],
    smallest_share: float,
) -> Sample:
    """The picture under an affine map, ``size_px`` wide and high, and the people of whom enough is left."""
    linear, move = map_canvas_picture[:, :2], map_canvas_picture[:, 2]
    to_centres = move + linear @ np.array([0.5, 0.5]) - 0.5  # cv2 counts from the centre of the first pixel
    rgb = cv2.warpAffine(
        sample.rgb,
        np.concatenate([linear, to_centres[:, None]], 1),
        size_px,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD, PAD, PAD),
    )
    boxes = sample.boxes_px.astype(np.float64)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + move
    # People fill an ellipse rather than the corners of their box: the turned ellipse's box, not the corners'.
    half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
    return _visible(rgb, np.concatenate([middle - half, middle + half], 1), sample.labels, smallest_share)


def mosaic(
    samples: list[Sample], canvas_px: int, options: AugmentOptions, rng: np.random.Generator
) -> Sample:
    """Four pictures around a common corner (Bochkovskiy et al. 2020, YOLOv4)."""
    corner = (rng.uniform(0.35, 0.65, 2) * canvas_px).astype(int)
    canvas = np.full((canvas_px, canvas_px, 3), PAD, np.uint8)
    boxes, labels = [], []
    for quarter, sample in enumerate(samples):
        right, below = quarter % 2, quarter // 2
        low = np.where([right, below], corner, 0)
        high = np.where([right, below], canvas_px, corner)
        side = int((high - low).max())
        width, height = (int(length) for length in high - low)
        seen = placed(sample, side, options, rng, (width, height))
        canvas[low[1] : high[1], low[0] : high[0]] = seen.rgb
        boxes.append(seen.boxes_px + np.tile(low, 2).astype(np.float32))
        labels.append(seen.labels)
    return Sample(canvas, np.concatenate(boxes), np.concatenate(labels))


def erased(sample: Sample, options: AugmentOptions, rng: np.random.Generator) -> Sample:
    """Some people partly covered by a patch of one colour."""
    rgb = sample.rgb
    for box in sample.boxes_px:
        if rng.random() >= options.erase:
            continue
        size = (box[2:] - box[:2]) * rng.uniform(0.2, 0.5, 2)
        low = (box[:2] + rng.uniform(0, 1, 2) * (box[2:] - box[:2] - size)).astype(int)
        high = (low + np.maximum(size, 1)).astype(int)
        rgb = rgb.copy() if rgb is sample.rgb else rgb
        rgb[low[1] : high[1], low[0] : high[0]] = rng.integers(0, 256, 3)
    return sample._replace(rgb=rgb)


def recoloured(
    rgb: UInt8[np.ndarray, "h w 3"], options: AugmentOptions, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Brightness, contrast, saturation and hue moved; sometimes no colour at all."""
    if options.hue or options.saturation:
        turn = round(rng.uniform(-options.hue, options.hue) * 180)
        gain = 1 + rng.uniform(-options.saturation, options.saturation)
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        steps = np.arange(256)
        tables = [(steps + turn) % 180, np.clip(steps * gain, 0, 255), steps]
        hsv = np.stack([t.astype(np.uint8)[hsv[..., k]] for k, t in enumerate(tables)], -1)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < options.grey:
        rgb = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    contrast = 1 + rng.uniform(-options.contrast, options.contrast)
    brightness = 255 * 0.5 * rng.uniform(-options.brightness, options.brightness)
    table = np.clip((np.arange(256) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    return table[rgb]


def with_camera_faults(
    rgb: UInt8[np.ndarray, "h w 3"], options: AugmentOptions, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Few pixels, motion or lens blur, noise, and strong compression, each by its chance."""
    if rng.random() < options.coarse:
        height, width = rgb.shape[:2]
        share = rng.uniform(*_COARSE)
        few = (max(1, round(width * share)), max(1, round(height * share)))
        rgb = cv2.resize(cv2.resize(rgb, few, interpolation=cv2.INTER_AREA), (width, height))
    if rng.random() < options.blur:
        if rng.random() < 0.5:
            rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.5, 1.8))
        else:
            rgb = cv2.filter2D(rgb, -1, _motion(int(rng.integers(3, 10)), rng.uniform(0, np.pi)))
    if rng.random() < options.noise:
        spread = rng.uniform(3, 18)
        rgb = np.clip(rgb + rng.normal(0, spread, rgb.shape).astype(np.float32), 0, 255).astype(np.uint8)
    if rng.random() < options.jpeg:
        quality = int(rng.integers(15, 50))
        packed = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        rgb = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return rgb


def _motion(length: int, angle: float) -> Float32[np.ndarray, "k k"]:
    side = length | 1
    kernel = np.zeros((side, side), np.float32)
    reach = np.linspace(-side / 2, side / 2, 4 * side)
    x, y = (np.clip(side // 2 + reach * f, 0, side - 1).astype(int) for f in (np.cos(angle), np.sin(angle)))
    kernel[y, x] = 1
    return kernel / kernel.sum()


def _visible(
    rgb: UInt8[np.ndarray, "h w 3"],
    boxes: Float64[np.ndarray, "n 4"] | Float32[np.ndarray, "n 4"],
    labels: Int64[np.ndarray, " n"],
    smallest_share: float,
) -> Sample:
    limit = np.array([rgb.shape[1], rgb.shape[0]] * 2, boxes.dtype)
    seen = boxes.clip(0, limit)
    sides, whole = seen[:, 2:] - seen[:, :2], boxes[:, 2:] - boxes[:, :2]
    keep = (sides.prod(1) >= smallest_share * whole.prod(1)) & (
        sides.min(1, initial=np.inf) >= _SMALLEST_SIDE_PX
    )
    return Sample(rgb, seen[keep].astype(np.float32), labels[keep])
