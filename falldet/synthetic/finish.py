"""What cameras do to a picture: movement, blur, colour casts, noise, few pixels, captions."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

RNG = np.random.Generator


def developed(
    rgb: Float[np.ndarray, "h w 3"], person: Int[np.ndarray, "h w"], rng: RNG
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as a camera gives it."""
    h, w = person.shape
    image = np.clip(rgb, 0, 1.6).astype(np.float32)
    if (person >= 0).any() and rng.random() < 0.15:
        image = _moving(image, person >= 0, rng)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.0)) * h / 320)
    if rng.random() < 0.2:  # fewer pixels than it seems
        small = float(rng.uniform(0.4, 0.8))
        tiny = cv2.resize(image, (int(w * small), int(h * small)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(tiny, (w, h), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    cast = 1 + rng.uniform(-0.09, 0.09, 3)
    middle = float(np.median(image)) + 1e-3
    wanted = float(rng.uniform(0.32, 0.6))
    image = image * cast.astype(np.float32) * np.clip(wanted / middle, 0.6, 1.9)
    image = np.clip(image, 0, None) ** float(rng.uniform(0.8, 1.2))
    image = image / (1 + np.maximum(image - 0.8, 0))  # highlights roll off
    if rng.random() < 0.4:
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        image = image * (1 - float(rng.uniform(0.05, 0.3)) * (x**2 + y**2) / 2)[..., None].astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * (0.0 if rng.random() < 0.05 else float(rng.uniform(0.4, 1.1)))
    image = (image - 0.5) * float(rng.uniform(0.8, 1.2)) + 0.5 + float(rng.uniform(-0.05, 0.05))
    noise = float(rng.uniform(0.002, 0.02))
    image = image + noise * rng.standard_normal((h, w, 1), np.float32)
    image = image + 0.5 * noise * rng.standard_normal((h, w, 3), np.float32)
    if rng.random() < 0.2:
        image = cv2.filter2D(image, -1, np.array([[0, -0.3, 0], [-0.3, 2.2, -0.3], [0, -0.3, 0]], np.float32))
    out = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.15:
        _caption(out, rng)
    return out


def _moving(image: np.ndarray, people: np.ndarray, rng: RNG) -> np.ndarray:
    """People smeared along a line, the room sharp."""
    h = len(image)
    length, way = max(3, int(rng.uniform(0.008, 0.03) * h)), float(rng.uniform(0, np.pi))
    kernel = np.zeros((2 * length + 1,) * 2, np.float32)
    end = (int(length + length * np.cos(way)), int(length + length * np.sin(way)))
    cv2.line(kernel, (2 * length - end[0], 2 * length - end[1]), end, 1.0)
    kernel /= kernel.sum()
    soft = cv2.filter2D(people.astype(np.float32), -1, kernel)[..., None]
    return image * (1 - soft) + cv2.filter2D(image, -1, kernel) * soft


def _caption(image: np.ndarray, rng: RNG) -> None:
    h, w = image.shape[:2]
    text = f"{rng.integers(2012, 2026)}/{rng.integers(1, 13):02d}/{rng.integers(1, 29):02d} "
    text += f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}:{rng.integers(0, 60):02d}"
    at = (int(rng.choice([4, int(w * 0.55)])), int(rng.choice([14, h - 6])))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, h / 900, (255, 255, 255), 1, cv2.LINE_AA)
