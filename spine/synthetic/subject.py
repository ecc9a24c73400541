"""A simulated person: a random spine, the skin over it, and both exactly known.

    sample_posture -> lay_skin_line -> lay_skin

The body frame is that of ARCHITECTURE.md: origin on the skin over the base mid-point, x right, y up, z
posterior, mm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from spine.chain import SpinePose, SpineTemplate
from spine.heightmap import HeightMap
from spine.measure.angles import L5, S1, T1, T12, axial_rotation_deg, coronal_tilt_deg, sagittal_tilt_deg
from spine.measure.coronal import cobb_from_tilts
from spine.synthetic.config import CurveType, SubjectConfig
from spine.synthetic.posture import moved, sample_posture
from spine.synthetic.random_curves import draw
from spine.synthetic.skin import lay_skin
from spine.synthetic.skin_line import lay_skin_line
from suite.geometry.mesh import Mesh

_ATTEMPTS = 50


@dataclass(frozen=True, eq=False)
class SimulatedSubject:
    """Skin and spine of one simulated person; body frame, mm.

    line_mm: the spinous line on the skin, from below upwards, x y z in each row of the map from the base to
    VP; skin_points_mm: the point of the line over each vertebra, `skin_to_centre_mm` from its centre (C7 ...
    S1 lie on the skin; C1 ... C3 are beyond the map); dimples_mm: left, right; markers_mm: half-balls on the
    skin, of which `skin` has the relief.
    """

    seed: int
    config: SubjectConfig
    curve_type: CurveType
    template: SpineTemplate
    pose: SpinePose
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    skin: HeightMap
    line_mm: Float[np.ndarray, "n 3"]
    vp_mm: Float[np.ndarray, " 3"]
    base_mm: Float[np.ndarray, " 3"]
    dimples_mm: Float[np.ndarray, "2 3"]
    markers_mm: Float[np.ndarray, "m 3"]
    skin_to_centre_mm: Float[np.ndarray, " 25"]
    skin_points_mm: Float[np.ndarray, "25 3"]

    @property
    def trunk_length_mm(self) -> float:
        """Height of VP above the base mid-point."""
        return float(self.vp_mm[1] - self.base_mm[1])

    @property
    def cobb_deg(self) -> float:
        """The largest Cobb angle over T1 ... L5."""
        return cobb_from_tilts(coronal_tilt_deg(self.T_body_vertebra)[T1 : L5 + 1])

    @property
    def kyphosis_deg(self) -> float:
        """Between T1 and T12, positive."""
        lean = sagittal_tilt_deg(self.T_body_vertebra)
        return float(lean[T12] - lean[T1])

    @property
    def lordosis_deg(self) -> float:
        """Between T12 and the end plate of S1, positive."""
        lean = sagittal_tilt_deg(self.T_body_vertebra)
        return float(lean[T12] - lean[S1])

    @property
    def axial_rotation_deg(self) -> Float[np.ndarray, " 25"]:
        """Of every vertebra, positive with the spinous process to the right."""
        return axial_rotation_deg(self.T_body_vertebra)

    def mesh(self) -> Mesh:
        """The visible skin as triangles, mm."""
        x, y = np.meshgrid(self.skin.x_mm, self.skin.y_mm)
        seen, ny, nx = self.skin.observed, *self.skin.z_mm.shape
        index = np.arange(ny * nx).reshape(ny, nx)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        whole = seen[:-1, :-1] & seen[:-1, 1:] & seen[1:, 1:] & seen[1:, :-1]
        faces = np.concatenate([np.stack([p[whole] for p in t], axis=1) for t in ((a, b, c), (a, c, d))])
        used, faces = np.unique(faces, return_inverse=True)
        vertices = np.stack([x.ravel(), y.ravel(), self.skin.z_mm.ravel()], axis=1)[used]
        return Mesh(vertices, faces.reshape(-1, 3), name="skin")

    def mirrored(self) -> SimulatedSubject:
        """The same person with left and right exchanged."""
        flip = np.array([-1.0, 1.0, 1.0])
        turn = -flip  # of rotation vectors, which are axial
        M = np.diag([-1.0, 1.0, 1.0, 1.0])
        template, pose, skin = self.template, self.pose, self.skin
        return replace(
            self,
            template=replace(
                template,
                below_mm=template.below_mm * flip,
                above_mm=template.above_mm * flip,
                rest_rotation_rad=template.rest_rotation_rad * turn,
                root_rest_rad=template.root_rest_rad * turn,
            ),
            pose=SpinePose(
                pose.root_rotation_rad * turn,
                pose.root_translation_mm * flip,
                pose.log_scale,
                pose.joint_rotation_rad * turn,
            ),
            T_body_vertebra=M @ self.T_body_vertebra @ M,
            skin=HeightMap(-skin.x_mm[::-1], skin.y_mm, skin.z_mm[:, ::-1], skin.observed[:, ::-1]),
            line_mm=self.line_mm * flip,
            vp_mm=self.vp_mm * flip,
            base_mm=self.base_mm * flip,
            dimples_mm=self.dimples_mm[::-1] * flip,
            markers_mm=self.markers_mm * flip,
            skin_points_mm=self.skin_points_mm * flip,
        )


def simulate_subject(seed: int, config: SubjectConfig | None = None) -> SimulatedSubject:
    """The person of this seed: the same for the same seed and configuration."""
    config = config or SubjectConfig()
    rng = np.random.default_rng(seed)
    for _ in range(_ATTEMPTS):
        posture = sample_posture(rng, config, draw(rng, config.trunk_length_mm))
        line = lay_skin_line(rng, config, posture)
        if line is not None:
            break
    else:
        raise RuntimeError(
            f"seed {seed}: no posture in {_ATTEMPTS} that skin can cover; are the ranges possible?"
        )
    posture = moved(posture, -line.base_mm)
    line = line.moved(-line.base_mm)
    skin, dimples, markers = lay_skin(rng, config, posture, line)
    rows = skin.y_mm[(skin.y_mm >= line.base_mm[1]) & (skin.y_mm <= line.vp_mm[1])]
    return SimulatedSubject(
        seed=seed,
        config=config,
        curve_type=posture.curve_type,
        template=posture.template,
        pose=posture.pose,
        T_body_vertebra=posture.T_body_vertebra,
        skin=skin,
        line_mm=line.at(np.append(rows, line.vp_mm[1]) if rows[-1] < line.vp_mm[1] else rows),
        vp_mm=line.vp_mm,
        base_mm=line.base_mm,
        dimples_mm=dimples,
        markers_mm=markers,
        skin_to_centre_mm=line.skin_to_centre_mm,
        skin_points_mm=line.skin_points_mm,
    )
