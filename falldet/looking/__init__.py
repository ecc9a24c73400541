"""Pictures in from files, videos and cameras; lines and drawn pictures out."""
