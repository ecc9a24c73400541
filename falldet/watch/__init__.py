"""Cameras watched around the clock: streams, events, clips, deliveries, pages."""
