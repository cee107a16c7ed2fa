"""Tasks: their events, state, commands and decisions."""
