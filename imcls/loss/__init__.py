"""What is minimised, and the mixing of images that goes with it."""
