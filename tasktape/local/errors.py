"""What the embedded stack says when it cannot go on."""


class LocalError(Exception):
    """Something the person at the terminal can mend; the text is one line that says how."""
