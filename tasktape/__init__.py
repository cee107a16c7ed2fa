"""The parts of Tasktape that users import and run: the client, the command line, the embedded stack."""
