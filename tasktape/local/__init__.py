"""The embedded stack: a real Kafka and a real PostgreSQL as child processes, and their supervisor."""
