"""Authentication: JSON Web Tokens, verified with one kind of key that the token cannot choose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cachetools import TLRUCache
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.errors import Malformed, Unauthenticated, Unavailable
from app.settings import BadSettings, Settings
from app.text.json_text import read_json
from app.text.names import user_name

MAX_TOKEN_CHARS = 8192
MIN_RSA_BITS = 2048
MAX_KNOWN_TOKENS = 10_000
KNOWN_S = 60.0
"""Seconds for which a valid token is cached without checking its key, which may be withdrawn meanwhile."""
TIMES = ("exp", "nbf", "iat")
LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last of the calendar."""
JWKS_TIMEOUT_S = 5
JWKS_LIFESPAN_S = 300
_ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"})


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller; `expires_at` is in seconds since the epoch.

    An auditor reads the whole audit, as an administrator does, but gives no commands.
    """

    user: str
    admin: bool
    expires_at: float
    auditor: bool = False

    @property
    def sees_all(self) -> bool:
        """Return whether the caller sees all events of the audit."""
        return self.admin or self.auditor


@dataclass(frozen=True, slots=True)
class Key:
    """A verification key with its only algorithm."""

    key: Any
    algorithm: str


class KeySource(Protocol):
    """Finds the key for verifying a token."""

    async def key_for(self, token: str) -> Key:
        """Return the key. Raise `Unauthenticated` if there is none, `Unavailable` if it cannot be fetched."""


@dataclass(frozen=True, slots=True)
class FixedKey:
    """One key for every token."""

    key: Key

    async def key_for(self, token: str) -> Key:  # noqa: ARG002
        """Return the only key."""
        return self.key


class NotATime(jwt.InvalidTokenError):
    """A time claim has a value that is not a time."""


class StrictTokens(jwt.PyJWT):
    """Decodes claims as strictly as other external JSON, and times only as numbers of seconds."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Return the claims. Raise `jwt.InvalidTokenError`."""
        try:
            claims = read_json(decoded["payload"], "the payload")
        except Malformed as error:
            raise jwt.DecodeError(error.detail) from None
        if not isinstance(claims, dict):
            raise jwt.DecodeError("the payload is not an object")
        for name in TIMES:
            if name in claims and not _is_time(claims[name]):
                raise NotATime(name)
        return claims


def _is_time(value: object) -> bool:
    """Return True if it is a number of seconds since the epoch (RFC 7519) within the calendar."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -LAST_SECOND <= value <= LAST_SECOND  # type: ignore[operator]


class RemoteKeys:
    """Keys published as a JWK set (RFC 7517), cached, and fetched again for an unknown key id."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, lifespan=JWKS_LIFESPAN_S, timeout=JWKS_TIMEOUT_S)

    async def key_for(self, token: str) -> Key:
        """Return the published key that the token names."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthenticated("the token is not a JSON Web Token") from None
        if not isinstance(key_id, str):
            raise Unauthenticated("the token names no key")
        try:
            # Fetching blocks, so it runs in a thread.
            found = await asyncio.to_thread(self._client.get_signing_key, key_id)
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable("the keys that tokens are verified with cannot be fetched") from error
        except jwt.PyJWTError as error:
            raise Unauthenticated("the token names no key that we know") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
            raise Unavailable("the keys that tokens are verified with cannot be read") from error
        if found.algorithm_name not in _ASYMMETRIC:
            raise Unauthenticated("the token's key is of a kind that is not accepted")
        return Key(found.key, found.algorithm_name)


class Verifier:
    """Verifies tokens: signature, audience, issuer, expiry, and a subject that is a valid user name.

    Valid tokens are cached for a while, as clients send theirs repeatedly: with every request, and all at
    once when another node has stopped.
    """

    def __init__(
        self, keys: KeySource, *, issuer: str, audience: str, now: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._tokens = StrictTokens()
        self._known: TLRUCache[str, Identity] = TLRUCache(MAX_KNOWN_TOKENS, _known_until, timer=now)

    @classmethod
    def from_settings(cls, settings: Settings) -> Verifier:
        """Return the verifier for the settings. Raise `BadSettings`."""
        return cls(_key_source(settings), issuer=settings.jwt_issuer, audience=settings.jwt_audience)

    async def verify(self, token: str) -> Identity:
        """Return the token's identity. Raise `Unauthenticated`, or `Unavailable` without keys."""
        try:
            return self._known[token]
        except KeyError:
            return await self._verify_new(token)

    async def _verify_new(self, token: str) -> Identity:
        if not 0 < len(token) <= MAX_TOKEN_CHARS or not token.isascii():
            raise Unauthenticated("the token is not a JSON Web Token")
        identity = await self._verify(token)
        self._known[token] = identity
        return identity

    async def _verify(self, token: str) -> Identity:
        key = await self._keys.key_for(token)
        try:
            claims = self._tokens.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "aud", "iss", "sub"], "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_reason(error)) from None
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise Unauthenticated("the token is not a JSON Web Token") from None
        return _identity(claims)


def _known_until(_token: str, identity: Identity, now_s: float) -> float:
    return min(now_s + KNOWN_S, identity.expires_at)


def bearer_token(header: str | None) -> str:
    """Return the token of an `Authorization` header. Raise `Unauthenticated`."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send a token: `Authorization: Bearer …`")
    return token.strip()


def _identity(claims: Mapping[str, Any]) -> Identity:
    subject = claims["sub"]
    try:
        user = user_name(subject if isinstance(subject, str) else "")
    except ValueError as error:
        raise Unauthenticated(f"the token's subject is not a usable user name: it {error}") from None
    return Identity(
        user=user,
        admin=claims.get("admin") is True,
        expires_at=float(claims["exp"]),
        auditor=claims.get("auditor") is True,
    )


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet"
        case jwt.InvalidAudienceError():
            return "the token is for another audience"
        case jwt.InvalidIssuerError():
            return "the token is from another issuer"
        case NotATime():
            return f"the token's claim '{error}' is not a time in seconds"
        case jwt.MissingRequiredClaimError(claim=claim):
            return f"the token has no claim {claim!r}"
        case jwt.InvalidAlgorithmError():
            return "the token is signed with an algorithm that is not accepted"
        case jwt.InvalidSignatureError():
            return "the token's signature is not ours"
        case _:
            return "the token is not a JSON Web Token"


def _key_source(settings: Settings) -> KeySource:
    if settings.jwt_secret is not None:
        return FixedKey(Key(settings.jwt_secret, "HS256"))
    if settings.jwt_public_key is not None:
        return FixedKey(public_key(settings.jwt_public_key))
    if settings.jwt_jwks_url is not None:
        return RemoteKeys(settings.jwt_jwks_url)
    raise BadSettings("set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL: without one no token can be verified")


def public_key(pem: str) -> Key:
    """Return a public key in PEM, with the algorithm for its kind. Raise `BadSettings`."""
    try:
        # Environment files often contain a key on one line, with escaped line ends.
        key = load_pem_public_key(pem.replace("\\n", "\n").encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadSettings("JWT_PUBLIC_KEY: not a public key in PEM") from None
    match key:
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return Key(key, "RS256")
        case ec.EllipticCurvePublicKey() if key.curve.name == "secp256r1":
            return Key(key, "ES256")
        case ed25519.Ed25519PublicKey():
            return Key(key, "EdDSA")
        case _:
            raise BadSettings(f"JWT_PUBLIC_KEY: use RSA of {MIN_RSA_BITS} bits or more, P-256 or Ed25519")
