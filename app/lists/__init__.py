"""Lists: their events, state, commands and decisions."""
