"""The errors of the embedded stack."""


class LocalError(Exception):
    """An error that the user can fix; the text is one line that says how."""
