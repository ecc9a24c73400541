"""The template posed by hand and written to a file: `spine template`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spine.anatomy import LEVELS
from spine.chain import N_JOINTS, SpinePose, SpineTemplate, forward_kinematics, trunk_length
from spine.output import M_PER_MM, posed_vertebrae
from suite.errors import BadInput, did_you_mean
from suite.files import atomic_write

ANGLES: dict[str, tuple[int, int]] = {
    "extension": (0, 1),
    "flexion": (0, -1),
    "axial": (1, 1),
    "lateral": (2, 1),
}
"""Axis and sign: axial > 0 turns the spinous process to the right, lateral > 0 lifts the right side."""
MOST_DEG = 90.0
_SETTING = re.compile(r"(?P<level>[^.=]+)\.(?P<angle>[^.=]+)=(?P<deg>[^=]+)")


def pose_of(settings: Sequence[str]) -> SpinePose:
    """The pose of settings such as `L3.lateral=10`: a vertebra's rotation on the one below it, in degrees.

    Several angles of one vertebra add up to its rotation vector; S1 turns the whole spine about the body
    axes. Raises BadInput for unknown levels, unknown angles, and more than 90 degrees.
    """
    turn = np.zeros((N_JOINTS + 1, 3))
    for text in settings:
        match = _SETTING.fullmatch(text.strip())
        if match is None:
            raise BadInput("is not LEVEL.ANGLE=DEGREES", f"--set {text}", "such as L3.lateral=10")
        level = _one_of(match["level"].upper(), LEVELS, "level", text)
        axis, sign = ANGLES[_one_of(match["angle"].lower(), ANGLES, "angle", text)]
        try:
            degrees = float(match["deg"])
        except ValueError:
            raise BadInput(f"{match['deg']!r} is not a number of degrees", f"--set {text}") from None
        if not abs(degrees) <= MOST_DEG:
            raise BadInput(f"{degrees:g} is outside -90 ... 90 degrees", f"--set {text}")
        turn[LEVELS.index(level), axis] += sign * np.radians(degrees)
    return SpinePose(root_rotation_rad=turn[-1], joint_rotation_rad=turn[:-1])


def write_template(path: Path, template: SpineTemplate, pose: SpinePose) -> None:
    """A .glb of the vertebrae (m, one node each) or a .json of frames, lengths and pose (mm, rad). Atomic."""
    T = forward_kinematics(template, pose)
    kind = path.suffix.lower()
    if kind == ".glb":
        from suite.geometry.mesh_io import write_glb

        write_glb(path, posed_vertebrae(T, template.size), M_PER_MM)
    elif kind == ".json":
        with atomic_write(path, "w") as out:
            json.dump(template_dict(template, pose, T), out, indent=1)
            out.write("\n")
    else:
        raise BadInput("is neither .glb nor .json", path, "the ending says what is written")


def template_dict(template: SpineTemplate, pose: SpinePose, T_body_vertebra: np.ndarray) -> dict:
    """Everything that `spine.chain` needs to pose the same spine again, and where each vertebra then is."""
    return {
        "format": "spine-template",
        "version": 1,
        "levels": list(LEVELS),
        "trunk_mm": trunk_length(template),
        "size": template.size,
        "below_mm": template.below_mm.tolist(),
        "above_mm": template.above_mm.tolist(),
        "rest_rotation_rad": template.rest_rotation_rad.tolist(),
        "root_rest_rad": template.root_rest_rad.tolist(),
        "pose": {
            "root_rotation_rad": pose.root_rotation_rad.tolist(),
            "root_translation_mm": pose.root_translation_mm.tolist(),
            "log_scale": pose.log_scale,
            "joint_rotation_rad": pose.joint_rotation_rad.tolist(),
        },
        "T_body_vertebra": T_body_vertebra.tolist(),
    }


def _one_of(word: str, known: Sequence[str] | dict[str, tuple[int, int]], what: str, text: str) -> str:
    if word in known:
        return word
    close = did_you_mean(word, known)
    hint = f"did you mean {close}?" if close else f"it is one of {', '.join(known)}"
    raise BadInput(f"no {what} {word}", f"--set {text}", hint)
