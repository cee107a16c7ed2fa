"""Transports of the relay."""
