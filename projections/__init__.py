"""Read models: Postgres tables that follow the log, and the projector that maintains them."""
