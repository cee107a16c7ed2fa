"""Tasktape, as people import and run it: the client, the command line, the embedded stack."""
