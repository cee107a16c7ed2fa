"""Blanks in users' texts: every kind of blank separates words."""


def plain_blanks(text: str) -> str:
    """Replace each blank character by a space; keep the length of the text."""
    return "".join(" " if character.isspace() else character for character in text)
