"""The relay: from the feed of updates to the sessions of subscribers."""
