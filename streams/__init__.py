"""The log: Kafka topics, appending and reading, updates, and the Faust worker that projects."""
