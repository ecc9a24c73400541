"""The object in a capture: where it stands, which way is up, and which pixels show it."""
