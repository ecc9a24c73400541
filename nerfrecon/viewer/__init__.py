"""Pages that show what was made: one file each, opened from disk, without a network."""
