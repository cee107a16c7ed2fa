"""The domain of Tasktape, pure: commands, events, deciders and the fold of the log."""
