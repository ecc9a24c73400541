"""Pictures on their way in: found, checked, decoded once, split without leaks, augmented, batched."""
