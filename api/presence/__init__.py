"""Presence: who is where, across nodes."""
