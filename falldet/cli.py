"""The command line of falldet, which is announced and not built yet."""

from suite.cli import announced

main = announced("falldet", "images or video to fall events")
