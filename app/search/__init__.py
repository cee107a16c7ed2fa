"""The search language, and the matching of tasks."""
