"""Benchmarks: one module for each question; each prints a table with ratios."""
