"""Fall detection: images or video in, people fallen or not, tracked, and fall events out."""
