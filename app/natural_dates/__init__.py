"""Dates, times and recurrences as people write them."""
