"""The read models: the rows that each writes for a batch, and its own queries."""
