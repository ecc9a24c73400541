"""Labelled pictures examined: faulty boxes, copies, leaks between sets, and a page that shows them."""
