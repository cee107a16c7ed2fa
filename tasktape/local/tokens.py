"""Sign-in tokens of a local instance."""

import getpass
import time

import jwt

from app.text.names import user_name


def mint(
    secret: str,
    user: str,
    *,
    admin: bool,
    auditor: bool = False,
    ttl_s: int,
    issuer: str = "tasktape",
    audience: str = "tasktape",
) -> str:
    """Return a JWT (HS256) that signs `user` in for `ttl_s` seconds."""
    now_s = int(time.time())
    claims = {"sub": user, "iss": issuer, "aud": audience, "iat": now_s, "exp": now_s + ttl_s}
    roles = {name: True for name, given in (("admin", admin), ("auditor", auditor)) if given}
    return jwt.encode(claims | roles, secret, algorithm="HS256")


def system_user() -> str:
    """Return the name of the system's user; `me` if it is not a valid name for a user."""
    try:
        return user_name(getpass.getuser())
    except (KeyError, OSError, ValueError):
        return "me"
