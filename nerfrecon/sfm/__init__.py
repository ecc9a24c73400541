"""Where the cameras stood and what their lenses are like, found from the pictures alone (by COLMAP)."""
