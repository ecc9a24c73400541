"""From a mesh and the photographs to a textured mesh in one file."""
