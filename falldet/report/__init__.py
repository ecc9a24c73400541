"""Pages and tables for people about what a detector is worth."""
