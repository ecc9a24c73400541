"""What an experiment would do, without training: the sets with their people, and the detector's size."""

from __future__ import annotations

from falldet.config import FalldetConfig
from falldet.model.start import started_detector
from falldet.train import named, read_sets
from suite.report.table import Table


def check_experiment(config: FalldetConfig) -> Table:
    """One row for each set and one for the detector. Raises BadInput for what would stop the training."""
    config = named(config)
    sets = read_sets(config)
    roles = [("learn", pool.labelled, f"{pool.share:g} shares") for pool in sets.pools]
    roles += [("develop", sets.develop, "threshold")]
    roles += [("test", one, "figures") for one in sets.tests]
    rows = []
    for role, labelled, use in roles:
        counts = labelled.counts()
        rows.append([role, labelled.name, len(labelled), counts["fallen"], counts["not_fallen"], use])
    if config.engine == "suite":
        detector = started_detector(config.model, sets.develop.classes, config.pixels).detector
        million = sum(parameter.numel() for parameter in detector.parameters()) / 1e6
        start = config.model.weights.name if config.model.weights else "random weights"
        rows.append(["detector", config.model.type, "", "", "", f"{million:.2f} M parameters, from {start}"])
    else:
        rows.append(["detector", config.mmdet.config, "", "", "", "trained by mmdet"])
    return Table(["role", "what", "pictures", "fallen", "not fallen", "use"], rows)
