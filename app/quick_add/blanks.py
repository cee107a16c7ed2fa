"""Blanks in texts of people: whichever they are, they separate words."""


def plain_blanks(text: str) -> str:
    """Return the text with a space for each blank character, as long as before."""
    return "".join(" " if character.isspace() else character for character in text)
