"""Folder or video -> pictures that are sharp, differ from one another and are evenly spread."""
