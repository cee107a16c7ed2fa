"""Quick add: one line of text read as a task."""
