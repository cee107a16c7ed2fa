"""Exports of the audit: encoders, from events to the bytes of a file, and the jobs that write large files."""
