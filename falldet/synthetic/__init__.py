"""Synthetic training pictures: posed parametric people, fallen and not, in rooms; a function of a seed."""
