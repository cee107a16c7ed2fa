"""Backups of the log: their file format, writing them from Kafka, checking them, and restoring them."""
