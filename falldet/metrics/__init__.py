"""What detections are worth: average precision, people at the operating threshold, pictures, intervals."""
