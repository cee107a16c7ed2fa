"""The search language, and what it finds in a task."""
