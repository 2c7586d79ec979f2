"""Sections of the status page that are made in one place and used in several."""
