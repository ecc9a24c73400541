"""A simulated person: a body, a random spine that bends it, the skin over both, and all of it exactly known.

    draw_person -> sample_posture -> lay_skin_line (where the spine wants the skin)
                -> trunk_course, bent (the body follows) -> relief_of -> line_on_skin (where the skin is)

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
from spine.synthetic.person import RestingPerson, draw_person
from spine.synthetic.person_mesh import PersonMesh
from spine.synthetic.posture import moved, sample_posture
from spine.synthetic.relief import MARKER_HEIGHT_MM, marker_places
from spine.synthetic.seen import line_on_skin, seen_from_behind
from spine.synthetic.skin import relief_of
from spine.synthetic.skin_line import lay_skin_line
from spine.synthetic.trunk import bent, trunk_course
from suite.geometry.mesh import Mesh

_ATTEMPTS = 50
_MARKER_FACING = 0.5  # least cosine of skin that a marker sticks to


@dataclass(frozen=True)
class PersonFigures:
    """Who it is. gender: 0 male ... 1 female; weight, muscle: 0 ... 1."""

    age_years: float
    gender: float
    weight: float
    muscle: float
    stature_mm: float


@dataclass(frozen=True, eq=False)
class SimulatedSubject:
    """Skin and spine of one simulated person; body frame, mm.

    body: the whole person as triangles; skin: their back as seen from behind, arms included.

    line_mm: the spinous line on the skin, from below upwards, x y z in each row of the map from the base to
    VP; skin_points_mm: the point of the line over each vertebra, `skin_to_centre_mm` from its centre (C7 ...
    S1 lie on the skin; C1 ... C3 are beyond the map); dimples_mm: left, right; markers_mm: half-balls on the
    skin, of which `skin` has the relief.
    """

    seed: int
    config: SubjectConfig
    curve_type: CurveType
    person: PersonFigures
    template: SpineTemplate
    pose: SpinePose
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    body: PersonMesh
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
            body=self.body.mirrored(),
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
    person = draw_person(rng, config)
    for _ in range(_ATTEMPTS):
        posture = sample_posture(rng, config, person.trunk_mm)
        line = lay_skin_line(rng, config, posture)
        if line is not None:
            break
    else:
        raise RuntimeError(
            f"seed {seed}: no posture in {_ATTEMPTS} that skin can cover; are the ranges possible?"
        )
    posture = moved(posture, -line.base_mm)
    line = line.moved(-line.base_mm)
    along = trunk_course(rng, config, person, posture, line)
    vertices = bent(rng, config, person, along)
    relief, dimple_xy = relief_of(rng, config, along)
    vertices[:, 2] += person.skin.backwards * relief.at(vertices[:, 0], vertices[:, 1])
    bare = PersonMesh(vertices, person.skin.finer.faces, person.skin.part, person.vertices_mm)
    found = line_on_skin(config, posture, line, bare)
    # What was planned is exact; facets of the skin move it by fractions of a mm. The truth is what is there.
    posture, bare, found = (
        moved(posture, -found.base_mm),
        bare.moved(-found.base_mm),
        found.moved(-found.base_mm),
    )

    def visible(x: float, y: float) -> bool:
        hit = bare.from_behind(np.array([[x, y]]))
        return bool(hit.face[0] >= 0 and hit.normal[0, 2] > _MARKER_FACING)

    marker_xy = marker_places(rng, config, relief.grid, visible)
    standing = np.column_stack([marker_xy, bare.from_behind(marker_xy).distance])
    mesh = bare.with_domes(standing, MARKER_HEIGHT_MM)
    skin = seen_from_behind(mesh, along.trunk_mm, config.grid_mm)
    rows = skin.y_mm[(skin.y_mm >= found.base_mm[1]) & (skin.y_mm <= found.vp_mm[1])]
    y = np.append(rows, found.vp_mm[1]) if rows[-1] < found.vp_mm[1] else rows
    line_xy = found.at(y)[:, :2]
    return SimulatedSubject(
        seed=seed,
        config=config,
        curve_type=posture.curve_type,
        person=person_of(person),
        template=posture.template,
        pose=posture.pose,
        T_body_vertebra=posture.T_body_vertebra,
        body=mesh,
        skin=skin,
        line_mm=np.column_stack([line_xy, bare.from_behind(line_xy).distance]),
        vp_mm=found.vp_mm,
        base_mm=found.base_mm,
        dimples_mm=np.column_stack([dimple_xy, bare.from_behind(dimple_xy).distance]),
        markers_mm=standing + np.array([0.0, 0.0, MARKER_HEIGHT_MM]),
        skin_to_centre_mm=found.skin_to_centre_mm,
        skin_points_mm=found.skin_points_mm,
    )


def person_of(person: RestingPerson) -> PersonFigures:
    """What is told about who it is."""
    shape = person.shape
    return PersonFigures(person.age_years, shape.gender, shape.weight, shape.muscle, person.stature_mm)
