"""The read models: what each writes for a batch, and its own queries."""
