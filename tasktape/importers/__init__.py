"""Importers of other programs' files: a parser for each format, and the mapping to tasks and events."""
