"""The command line of imcls, which is announced and not built yet."""

from suite.cli import announced

main = announced("imcls", "image folders to cross-validated classifiers")
