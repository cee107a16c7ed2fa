"""The log: records, the fold over them, the updates that come of it, and the ports to it."""
