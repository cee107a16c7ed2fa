"""Policies: loops that answer events with events."""
