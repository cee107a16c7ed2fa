"""Presence: users on channels, across nodes."""
