"""Every scalar index in reading order: title, unit, definition, source, and the band of healthy people.

A band stands here only with a source for exactly this index; where none was found it is None. Signs are the
subject's: right, up, back and leaning back positive unless the definition says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from spine.anatomy import ALIGNMENT_NORMS

_SRS = "Stokes et al., Spine 1994;19:236-248 (SRS 3-D terminology)"
_DIERS = "Degenhardt et al., Scoliosis Spinal Disord 2017;12:28, table 1"
_COBB = "Cobb, Instr Course Lect 1948;5:261-275"
_DAVINCI = "Sangole et al., Spine 2009;34:60-69; Labelle et al., Scoliosis 2011;6:1"
_SUZUKI = "Suzuki et al., Stud Health Technol Inform 1999;59:81-84"
_DEWALD = "band: DeWald, AAOS Instr Course Lect 1992;41"
_PLUMB = "C7 plumb line to central sacral vertical line; band: neutral within 20 mm (Radiopaedia)"
_TORSION = f"{_DIERS}; sign: Lippold et al., BMC Musculoskelet Disord 2012;13:151"
_POTSI = f"{_SUZUKI}; Minguez et al., Eur Spine J 2007;16:73-82"
_POPULATION = "Mahalanobis, Proc Natl Inst Sci India 1936;2:49-55; population: CT table of spine.shape"


@dataclass(frozen=True)
class Definition:
    """What an index is; `circular` marks an azimuth, which wraps at 180 deg."""

    key: str
    title: str
    unit: str
    source: str
    text: str
    norm: tuple[float, float] | None = None
    circular: bool = False


def _banded(key: str, norm: str, title: str, source: str, text: str) -> Definition:
    band = ALIGNMENT_NORMS[norm]
    return Definition(key, title, band.unit, f"{source}; band: {band.source}", text, (band.low, band.high))


def _of_region(key: str, name: str, levels: str) -> tuple[Definition, ...]:
    ends = f"the region ends with its largest coronal curve from 10 deg on, else at {levels}"
    return (
        Definition(f"rotation_{key}_deg", f"Mean axial rotation, {name}", "deg", _SRS,
            f"mean axial rotation of a region, spinous processes to the right positive; {ends}"),
        Definition(f"pmc_{key}_deg", f"Plane of maximum curvature, {name}", "deg", _SRS,
            f"angle between the end vertebrae in the vertical plane in which it is largest; {ends}"),
        Definition(f"pmc_{key}_azimuth_deg", f"Azimuth of that plane, {name}", "deg", _SRS,
            "where its convexity points, from above: 0 back, 90 right, 180 front, -90 left", circular=True),
        Definition(f"davinci_{key}_mm", f"da Vinci vector, {name}", "mm", _DAVINCI,
            f"distance, seen from above, of the apex from the line between the end vertebrae; {ends}"),
        Definition(f"davinci_{key}_azimuth_deg", f"Azimuth of the da Vinci vector, {name}", "deg", _DAVINCI,
            "direction of that distance: 0 back, 90 right, 180 front, -90 left", circular=True),
    )  # fmt: skip


DEFINITIONS: tuple[Definition, ...] = (
    # coronal
    _banded("cobb_deg", "cobb", "Cobb angle, primary curve", _COBB,
        "largest difference of end-plate tilt between two vertebrae of one curve, T1-L5, seen from behind"),
    _banded("cobb_calibrated_deg", "cobb", "Cobb angle, calibrated to radiographs", _COBB,
        "the same, on the scale of clinical radiographs by a line fitted on people with both"),
    _banded("cobb_second_deg", "cobb", "Cobb angle, second curve", _COBB,
        "the next largest curve above 5 deg"),
    Definition("cobb_apex_level", "Apex of the primary curve", "level", _SRS,
        "vertebra farthest from the line between the curve's end vertebrae"),
    Definition("curve_angle_deg", "Curve angle, primary curve", "deg", _SRS,
        "difference of the tangent's tilt between the inflections of the smooth coronal centre line"),
    Definition("apical_translation_mm", "Apical translation, primary curve", "mm", _SRS,
        "lateral distance of the apex from the vertical through S1, right positive"),
    Definition("lateral_rms_mm", "Lateral deviation, RMS", "mm", _DIERS,
        "root mean square over T1-L5 of the body centres' distance from the line VP - base (C7 - S1 "
        "without landmarks)"),
    Definition("lateral_max_mm", "Lateral deviation, largest", "mm", _DIERS,
        "the largest such distance, right positive"),
    Definition("coronal_balance_mm", "Coronal balance", "mm", _PLUMB,
        "lateral distance of C7 from the vertical through S1, right positive", (-20.0, 20.0)),
    # sagittal
    _banded("kyphosis_t1_t12_deg", "kyphosis_t1_t12", "Kyphosis T1-T12", _COBB,
        "angle between the vertebrae T1 and T12 seen from the side, convex to the back positive"),
    Definition("kyphosis_t4_t12_deg", "Kyphosis T4-T12", "deg", _COBB,
        "the same between T4 and T12"),
    Definition("kyphosis_ict_itl_deg", "Kyphosis between inflections", "deg", _DIERS,
        "difference of sagittal tilt between the thoracolumbar and the cervicothoracic inflection"),
    Definition("kyphosis_apex_level", "Kyphotic apex", "level", _DIERS,
        "where the centre line lies farthest back between these inflections"),
    Definition("lordosis_l1_s1_deg", "Lordosis L1-S1", "deg", f"{_COBB}; {_DEWALD}",
        "angle between the vertebra L1 and the sacral end plate seen from the side, hollow "
        "to the back positive", (30.0, 80.0)),
    _banded("lordosis_t12_s1_deg", "lordosis_t12_s1", "Lordosis T12-S1", _COBB,
        "the same between T12 and S1"),
    Definition("lordosis_itl_ils_deg", "Lordosis between inflections", "deg", _DIERS,
        "difference of sagittal tilt between the thoracolumbar and the lumbosacral inflection"),
    Definition("lordosis_apex_level", "Lordotic apex", "level", _DIERS,
        "where the centre line lies farthest forward between these inflections"),
    Definition("inflection_cervicothoracic_level", "Cervicothoracic inflection", "level", _DIERS,
        "where the spine leans forward most, C7-T5"),
    Definition("inflection_thoracolumbar_level", "Thoracolumbar inflection", "level", _DIERS,
        "where it leans back most, T8-L4"),
    Definition("inflection_lumbosacral_level", "Lumbosacral inflection", "level", _DIERS,
        "where it leans forward most, L3-S1"),
    Definition("sacral_slope_deg", "Sacral slope", "deg", "Legaye et al., Eur Spine J 1998;7:99-103",
        "inclination of the sacral end plate to the horizontal, sloping down to the front positive"),
    Definition("sagittal_balance_mm", "Sagittal balance", "mm", _SRS,
        "distance of C7 before the vertical through the middle of the sacral end plate, forward positive"),
    # transverse and 3D
    Definition("rotation_apical_deg", "Axial rotation of the apex", "deg", _SRS,
        "axial rotation of the primary curve's apical vertebra, spinous process to the right positive"),
    Definition("rotation_apical_to_pelvis_deg", "Axial rotation of the apex against S1", "deg", _SRS,
        "the same less the rotation of S1; independent of how the person faces"),
    Definition("rotation_rms_deg", "Axial rotation, RMS", "deg", _DIERS,
        "root mean square of axial rotation over T1-L5"),
    Definition("rotation_max_deg", "Axial rotation, largest", "deg", _DIERS,
        "rotation of the most rotated vertebra of T1-L5, spinous process to the right positive"),
    *_of_region("proximal_thoracic", "proximal thoracic", "T1-T5"),
    *_of_region("main_thoracic", "main thoracic", "T5-T12"),
    *_of_region("lumbar", "thoracolumbar/lumbar", "T12-L5"),
    Definition("curvature_thoracic_max_per_m", "Largest thoracic curvature", "1/m", _SRS,
        "largest 3D curvature of the centre line, T1-T12"),
    Definition("curvature_lumbar_max_per_m", "Largest lumbar curvature", "1/m", _SRS,
        "largest 3D curvature of the centre line, T12-L5"),
    Definition("torsion_thoracic_per_m", "Thoracic torsion", "1/m", _SRS,
        "mean geometric torsion of the centre line T1-T12, weighted by squared curvature, right-handed "
        "positive"),
    Definition("torsion_lumbar_per_m", "Lumbar torsion", "1/m", _SRS,
        "mean geometric torsion of the centre line T12-L5, weighted by squared curvature, right-handed "
        "positive"),
    Definition("torsion_abs_per_m", "Amount of torsion", "1/m", _SRS,
        "mean magnitude of geometric torsion T1-L5, weighted by squared curvature"),
    # trunk and pelvis, from the skin
    Definition("trunk_imbalance_mm", "Trunk imbalance", "mm", _DIERS,
        "lateral distance of VP from base, right positive"),
    Definition("trunk_imbalance_deg", "Trunk imbalance", "deg", _DIERS,
        "angle of the line base - VP to the vertical seen from behind, leaning right positive"),
    Definition("trunk_inclination_mm", "Trunk inclination", "mm", _DIERS,
        "distance of VP before base, forward positive"),
    Definition("trunk_inclination_deg", "Trunk inclination", "deg", _DIERS,
        "angle of the line base - VP to the vertical seen from the side, leaning forward positive"),
    Definition("pelvic_tilt_mm", "Pelvic tilt", "mm", _DIERS,
        "height of the right dimple over the left, right higher positive"),
    Definition("pelvic_tilt_deg", "Pelvic tilt", "deg", _DIERS,
        "angle of the line between the dimples to the horizontal, right higher positive"),
    Definition("pelvic_torsion_deg", "Pelvic torsion", "deg", _TORSION,
        "difference of the skin's vertical inclination at the dimples, right side turned backwards "
        "positive"),
    # the surface
    Definition("surface_rotation_rms_deg", "Surface rotation, RMS", "deg", _DIERS,
        "root mean square of the skin's rotation along the spinous line"),
    Definition("surface_rotation_max_deg", "Surface rotation, largest", "deg", _DIERS,
        "largest rotation of the skin along the spinous line, facing right positive"),
    Definition("hump_thoracic_mm", "Thoracic hump", "mm", _SUZUKI,
        "largest height difference of the skin at equal distances from the spinous line, T1-T12, right "
        "higher positive"),
    Definition("hump_lumbar_mm", "Lumbar hump", "mm", _SUZUKI,
        "the same over L1-L5, right higher positive"),
    Definition("hump_sum_mm", "Hump sum", "mm", _SUZUKI,
        "sum of the magnitudes of the thoracic and the lumbar hump, in mm and without further scaling"),
    Definition("potsi_percent", "Posterior trunk symmetry index (POTSI)", "%", _POTSI,
        "sum of three frontal asymmetries (C7, axillae, waist) and three height differences (shoulders, "
        "axillae, waist)"),
    # the whole shape
    Definition("normality_3d", "Distance from the population's shape", "SD", _POPULATION,
        "Mahalanobis distance of the curve T1-L5 over the first shape modes of spines in CT; they lay in "
        "the scanner"),
    Definition("normality_lateral", "Sideways distance from the population's shape", "SD", _POPULATION,
        "the same over the purely lateral ones of these modes, which lying down changes little"),
)  # fmt: skip
