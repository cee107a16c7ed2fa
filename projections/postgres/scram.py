"""Passwords of roles as PostgreSQL stores them: no statement or log of the server has the plain text."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256

ITERATIONS = 4_096
"""The number that PostgreSQL uses, of which each login costs as many."""
SALT_BYTES = 16


def scram_verifier(password: str) -> str:
    """Return the SCRAM-SHA-256 verifier of a password (RFC 5803), in ASCII."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key, server_key = (hmac.digest(salted, each, "sha256") for each in (b"Client Key", b"Server Key"))
    stored_key = sha256(client_key).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def _text(value: bytes) -> str:
    return b64encode(value).decode()
