"""Merging edits that were made at the same time."""
