"""Quick add: a parser of one line of text into a task."""
