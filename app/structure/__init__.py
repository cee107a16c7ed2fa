"""The rules that span streams, and the events that repair violations."""
