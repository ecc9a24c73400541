"""The command line of nerfrecon, which is announced and not built yet."""

from suite.cli import announced

main = announced("nerfrecon", "photographs to textured meshes")
