"""Validation of tokens."""

import base64
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api import auth
from api.auth import Key, Verifier, bearer_token
from app.errors import Unauthenticated, Unavailable
from app.settings import BadSettings, Settings

SECRET = "a secret of the tests that is long enough for any hash"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def claims(**changes: Any) -> dict[str, Any]:
    """Return valid claims with changes; a claim changed to None is left out."""
    good = {"sub": "alice", "iss": "tasktape", "aud": "tasktape", "exp": int(time.time()) + 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def verifier(**settings: Any) -> Verifier:
    return Verifier.from_settings(Settings(**(settings or {"jwt_secret": SECRET})))


async def test_valid_token_names_its_user() -> None:
    """With subject, expiry and the administrator's claim."""
    given = claims(admin=True)
    identity = await verifier().verify(jwt.encode(given, SECRET, "HS256"))
    assert (identity.user, identity.admin, identity.expires_at) == ("alice", True, given["exp"])


class CountedKey:
    """A key that counts its uses."""

    def __init__(self) -> None:
        self.asked = 0

    async def key_for(self, token: str) -> Key:
        self.asked += 1
        return Key(SECRET, "HS256")


async def test_valid_token_is_cached_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its expiry at most, and in bounded number; an invalid one never is."""
    monkeypatch.setattr(auth, "MAX_KNOWN_TOKENS", 2)
    keys, now = CountedKey(), [time.time()]
    at = Verifier(keys, issuer="tasktape", audience="tasktape", now=lambda: now[0])
    tokens = [jwt.encode(claims(sub=name, exp=int(now[0]) + 90), SECRET, "HS256") for name in "abc"]
    first = await at.verify(tokens[0])
    assert await at.verify(tokens[0]) is first
    assert keys.asked == 1
    now[0] += auth.KNOWN_S
    assert await at.verify(tokens[0]) == first
    assert keys.asked == 2
    for token in tokens[1:]:
        await at.verify(token)
    await at.verify(tokens[0])
    assert keys.asked == 5
    now[0] += 31  # the token is over, by this clock, before it would be forgotten
    await at.verify(tokens[0])
    assert keys.asked == 6
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await at.verify(jwt.encode(claims(), SECRET + "x", "HS256"))
    assert keys.asked == 8


@pytest.mark.parametrize("value", ["true", 1, "yes", [True], None])
async def test_only_true_makes_an_administrator(value: object) -> None:
    """Other truthy values do not."""
    assert not (await verifier().verify(jwt.encode(claims(admin=value), SECRET, "HS256"))).admin


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": int(time.time()) - 1}, "expired"),
        ({"exp": None}, "no claim 'exp'"),
        ({"nbf": int(time.time()) + 3_600}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "no claim 'aud'"),
        ({"iss": "another"}, "another issuer"),
        ({"iss": None}, "no claim 'iss'"),
        ({"sub": None}, "no claim 'sub'"),
        ({"sub": ""}, "1 to 128"),
        ({"sub": "x" * 129}, "1 to 128"),
        ({"sub": "a\x00b"}, "usable user name"),
        ({"sub": "a\nb"}, "usable user name"),
        ({"sub": " alice"}, "usable user name"),
        ({"sub": ".."}, "usable user name"),
    ],
)
async def test_invalid_claims_are_refused(changes: dict[str, Any], why: str) -> None:
    """Each required claim must be there, and is checked."""
    with pytest.raises(Unauthenticated, match=why):
        await verifier().verify(jwt.encode(claims(**changes), SECRET, "HS256"))


@pytest.mark.parametrize("exp", ["tomorrow", 1e400, [1], {}])
async def test_invalid_expiry_is_refused(exp: object) -> None:
    """No value of it is a server error."""
    payload = json.dumps({**claims(), "exp": exp}).encode()
    token = jwt.api_jws.encode(payload, SECRET, "HS256")
    with pytest.raises(Unauthenticated):
        await verifier().verify(token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "x" * 9000, "..", "e30.e30."])
async def test_malformed_token_is_refused(token: str) -> None:
    """Garbage, and tokens of any size."""
    with pytest.raises(Unauthenticated):
        await verifier().verify(token)


async def test_unsigned_token_is_refused() -> None:
    """The algorithm `none`."""
    with pytest.raises(Unauthenticated):
        await verifier().verify(jwt.encode(claims(), "", "none"))


async def test_token_of_another_secret_is_refused() -> None:
    """Its signature does not match."""
    with pytest.raises(Unauthenticated, match="signature"):
        await verifier().verify(jwt.encode(claims(), SECRET + "!", "HS256"))


async def test_token_of_another_algorithm_is_refused() -> None:
    """Also a stronger hash with the right secret: one kind of key, one algorithm."""
    with pytest.raises(Unauthenticated, match="algorithm"):
        await verifier().verify(jwt.encode(claims(), SECRET, "HS384"))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED25519, "EdDSA")])
async def test_public_key_decides_on_the_algorithm(key: Any, algorithm: str) -> None:
    """The key may be on one line."""
    for text in (pem(key), pem(key).replace("\n", "\\n")):
        identity = await verifier(jwt_public_key=text).verify(jwt.encode(claims(), key, algorithm))
        assert identity.user == "alice"


async def test_public_key_is_not_accepted_as_a_secret() -> None:
    """For a token signed with the key's text as if it were a secret."""
    body = ".".join(unpadded(part) for part in (b'{"alg":"HS256"}', json.dumps(claims()).encode()))
    signature = hmac.digest(pem(RSA).encode(), body.encode(), "sha256")
    token = f"{body}.{unpadded(signature)}"
    with pytest.raises(Unauthenticated):
        await verifier(jwt_public_key=pem(RSA)).verify(token)


@pytest.mark.parametrize("text", ["not a key", pem(SMALL_RSA), pem(P521)])
def test_unusable_keys_stop_the_start(text: str) -> None:
    """No key, too weak, or of an unsupported kind."""
    with pytest.raises(BadSettings, match="JWT_PUBLIC_KEY"):
        verifier(jwt_public_key=text)


def test_start_requires_a_key() -> None:
    """Nobody could sign in without one."""
    with pytest.raises(BadSettings, match="JWT_SECRET"):
        Verifier.from_settings(Settings())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
def test_only_bearer_headers_carry_tokens(header: str | None) -> None:
    """Other schemes are no credentials here."""
    with pytest.raises(Unauthenticated):
        bearer_token(header)


def test_scheme_is_case_insensitive() -> None:
    """According to RFC 9110."""
    assert bearer_token("bEaReR  abc") == "abc"


# --- published keys --------------------------------------------------------------------------------------


class KeyServer:
    """Publishes a JWK set over HTTP, and counts the requests."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def publish(self, key: Any, kid: str) -> None:
        self.keys.append(jwk_of(key.public_key()) | {"kid": kid, "use": "sig"})

    def stop(self) -> None:
        if self._thread.is_alive():
            self.server.shutdown()
            self._thread.join()
            self.server.server_close()


def jwk_of(key: Any) -> dict[str, Any]:
    kinds: dict[type, Callable[..., Any]] = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm.to_jwk,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm.to_jwk,
        ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm.to_jwk,
    }
    to_jwk = next(function for kind, function in kinds.items() if isinstance(key, kind))
    return dict(to_jwk(key, as_dict=True))


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.stop()


async def test_published_keys_are_fetched_once(key_server: KeyServer) -> None:
    """Keys of several kinds, by their ids, from one request."""
    key_server.publish(RSA, "r")
    key_server.publish(P256, "e")
    verifying = verifier(jwt_jwks_url=key_server.url)
    for key, kid, algorithm in ((RSA, "r", "RS256"), (P256, "e", "ES256"), (RSA, "r", "RS256")):
        token = jwt.encode(claims(), key, algorithm, headers={"kid": kid})
        assert (await verifying.verify(token)).user == "alice"
    assert key_server.asked == 1


async def test_unknown_keys_do_not_repeat_requests(key_server: KeyServer) -> None:
    """A token of an unknown key is refused without a request each time."""
    key_server.publish(RSA, "r")
    verifying = verifier(jwt_jwks_url=key_server.url)
    for kid in ("x", "y", "z"):
        with pytest.raises(Unauthenticated):
            await verifying.verify(jwt.encode(claims(), P256, "ES256", headers={"kid": kid}))
    assert key_server.asked <= 2


async def test_published_secret_is_not_used(key_server: KeyServer) -> None:
    """A published symmetric key is known to everybody."""
    key_server.keys.append(
        {"kty": "oct", "k": unpadded(SECRET.encode()), "kid": "s", "alg": "HS256", "use": "sig"}
    )
    with pytest.raises(Unauthenticated):
        await verifier(jwt_jwks_url=key_server.url).verify(
            jwt.encode(claims(), SECRET, "HS256", headers={"kid": "s"})
        )


async def test_unavailable_publisher_is_503(key_server: KeyServer) -> None:
    """Rather than 401."""
    key_server.stop()
    token = jwt.encode(claims(), RSA, "RS256", headers={"kid": "r"})
    with pytest.raises(Unavailable):
        await verifier(jwt_jwks_url=key_server.url).verify(token)


def raw_token(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}') -> str:
    """Return a validly signed token with this text."""
    signed = f"{unpadded(header)}.{unpadded(payload)}"
    return f"{signed}.{unpadded(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        b"1" + b"0" * 400,
        b"1e400",
        b"-1e400",
        b"NaN",
        b"Infinity",
        b"true",
        b'"4102444800"',
        b"null",
        b"[]",
        b"1e15",
    ],
)
async def test_invalid_times_are_refused(name: str, value: bytes) -> None:
    """Only numbers of seconds within the calendar are times."""
    given = {key: json.dumps(each).encode() for key, each in claims().items()} | {name: value}
    payload = b"{%s}" % b",".join(b'"%s":%s' % (key.encode(), each) for key, each in given.items())
    with pytest.raises(Unauthenticated):
        await verifier().verify(raw_token(payload))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub":"alice","sub":"root"}',
        b'{"sub":"\xff"}',
        b"[" * 100_000,
        b'{"sub":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"sub":"\\ud800"}',
        b'{"sub":"a\\u0000"}',
        b'{"sub":["alice"]}',
        b'{"sub":7}',
        b'{"sub":"%s"}' % (b"a" * 129),
        b"7",
        b"",
    ],
)
async def test_malformed_claims_are_refused(payload: bytes) -> None:
    """Broken JSON, duplicate claims, and subjects that are no valid user names."""
    good = json.dumps({name: value for name, value in claims().items() if name != "sub"}).encode()
    whole = payload[:-1] + b"," + good[1:] if payload.startswith(b'{"sub"') else payload
    with pytest.raises(Unauthenticated):
        await verifier().verify(raw_token(whole))


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"7",
        b"{",
        b'{"alg":7}',
        b'{"alg":"none"}',
        b'{"alg":"HS256","crit":["x"]}',
        b"[" * 5000,
        b"\xff",
    ],
)
async def test_malformed_headers_are_refused(header: bytes) -> None:
    """Before their contents are used; with a fixed key, and with published ones."""
    token = raw_token(json.dumps(claims()).encode(), header)
    for checked in (verifier(), verifier(jwt_jwks_url="http://127.0.0.1:9/jwks")):
        with pytest.raises(Unauthenticated):
            await checked.verify(token)


async def test_expiry_may_have_a_fraction() -> None:
    """RFC 7519 allows it."""
    given = claims(exp=time.time() + 60.5)
    assert (await verifier().verify(jwt.encode(given, SECRET, "HS256"))).user == "alice"
