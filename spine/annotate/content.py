"""What the page is given beside the marks: the pictures, the heights of the skin, the bones, all as bytes."""

from __future__ import annotations

import json
import struct
import threading
from functools import cached_property
from typing import Any

import numpy as np

from spine.anatomy import LEVELS, VERTEBRAE
from spine.annotate.pictures import extent, furrow, layers
from spine.annotate.session import Session
from spine.output import REGION_RGB
from spine.report.maps import CURVATURE_PER_M
from spine.vertebra import vertebra_mesh


class Content:
    """Computed once, when first asked for; the bones take seconds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bones: bytes | None = None
        self._lock = threading.Lock()

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """PNGs by name."""
        return layers(self._session.surface)

    @cached_property
    def heights(self) -> bytes:
        """z of the skin that marks are put on (mm), how hollow it is across (1/m), and whether it was seen:
        three arrays of float32, one after the other, rows rising."""
        skin = self._session.skin
        arrays = (skin.z_mm, furrow(self._session.surface.height()), skin.observed)
        return b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)

    def bones(self) -> bytes:
        """All vertebrae in their own frames, mm: the length of a JSON head (uint32), the head [{level, rgb,
        vertices, faces}], then for each level its vertices (float32) and faces (uint32). Little-endian."""
        with self._lock:
            if self._bones is None:
                self._bones = _packed_bones()
        return self._bones

    def about(self) -> dict[str, Any]:
        """What the page has to know of the heights, the pictures and the vertebrae."""
        skin = self._session.skin
        sizes = [VERTEBRAE.get(level) for level in LEVELS]  # the sacrum is no vertebra
        return {
            "grid": {
                "columns": len(skin.x_mm),
                "rows": len(skin.y_mm),
                "x_mm": float(skin.x_mm[0]),
                "y_mm": float(skin.y_mm[0]),
                "step_mm": skin.spacing_mm,
            },
            "extent": vars(extent(skin)),
            "pictures": list(self.pictures),
            "curvature_per_m": CURVATURE_PER_M,
            "levels": list(LEVELS),
            "bodies": [
                None if size is None else [size.upper[0], size.lower[0], size.mid_height, size.body_y]
                for size in sizes
            ],
            "region_rgb": REGION_RGB,
        }


def _packed_bones() -> bytes:
    head, data = [], []
    for level in LEVELS:
        bone = vertebra_mesh(level)
        head.append(
            {
                "level": level,
                "rgb": REGION_RGB[level[0]],
                "vertices": len(bone.vertices),
                "faces": len(bone.faces),
            }
        )
        data += [np.asarray(bone.vertices, "<f4").tobytes(), np.asarray(bone.faces, "<u4").tobytes()]
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text)) + text + b"".join(data)
