"""Queries that join read models."""
