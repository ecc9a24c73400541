"""The live page of a watch: pictures, health, events, and zones to draw."""
