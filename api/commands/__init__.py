"""The write path: load, decide, append, and wait for the outcome."""
