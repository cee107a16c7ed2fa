"""Benchmarks: one file a question; each prints a table with ratios."""
