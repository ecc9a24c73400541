"""What each change of a configuration is worth: variants times seeds, compared in pairs."""
