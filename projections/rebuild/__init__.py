"""Rebuilding: fills a new generation of the read models from the log, while another is live."""
