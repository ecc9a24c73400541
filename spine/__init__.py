"""The spine of a person from the surface of the bare back."""
