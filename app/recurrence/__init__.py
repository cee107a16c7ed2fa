"""Recurrence by RFC 5545: rules, their dates, and their descriptions."""
