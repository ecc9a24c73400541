"""From a field to a closed surface of few triangles."""
