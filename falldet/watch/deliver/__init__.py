"""Telling somebody: targets that are sent each event until they acknowledge it."""
