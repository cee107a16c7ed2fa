"""Policies: loops that append events in reaction to events."""
