"""Backends of the broadcaster: updates and signals between nodes."""
