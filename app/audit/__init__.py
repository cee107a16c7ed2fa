"""The audit: questions to the log, and the record of who asked them."""
