"""Simulated backs with exact truth: a random person, and what a scanner or a depth camera sees of the back.

    subject = simulate_subject(seed)
    scan = scan_points(subject, noise_mm=1.0, rng=np.random.default_rng(seed))
    save_subject(subject, folder, scan)

posture.py draws the spine on the chain of `spine.chain`, skin_line.py and skin.py lay skin over it, relief.py
adds what belongs to a place; scan.py, camera.py and recording.py look at it; dataset.py keeps it.
"""

from spine.synthetic.camera import D415, D435, DepthCamera, depth_frame
from spine.synthetic.config import SubjectConfig
from spine.synthetic.dataset import Truth, load_truth, save_subject, truth_of
from spine.synthetic.recording import record
from spine.synthetic.scan import Scan, ScanConfig, scan_points
from spine.synthetic.subject import SimulatedSubject, simulate_subject

__all__ = [
    "D415",
    "D435",
    "DepthCamera",
    "Scan",
    "ScanConfig",
    "SimulatedSubject",
    "SubjectConfig",
    "Truth",
    "depth_frame",
    "load_truth",
    "record",
    "save_subject",
    "scan_points",
    "simulate_subject",
    "truth_of",
]
