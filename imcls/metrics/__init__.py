"""What predictions are worth: figures with intervals, calibration, thresholds, labels that look wrong."""
