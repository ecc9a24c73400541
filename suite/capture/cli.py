"""The command line of capture-rgbd, which is announced and not built yet."""

from suite.cli import announced

main = announced("capture-rgbd", "records a depth camera to an RGB-D recording")
