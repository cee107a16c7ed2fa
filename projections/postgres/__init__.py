"""The database: connections, tables, generations, checkpoints and locks."""
