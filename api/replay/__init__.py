"""Replays of the past of lists."""
