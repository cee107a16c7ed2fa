"""Sign-in tokens and the verb that prints them."""

from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from tasktape.cli import main
from tasktape.local.tokens import mint

SECRET = "s" * 64


def claims(token: str, secret: str = SECRET) -> dict[str, object]:
    found: dict[str, object] = jwt.decode(
        token, secret, algorithms=["HS256"], issuer="tasktape", audience="tasktape"
    )
    return found


def test_token_has_its_claims() -> None:
    """User, issuer and expiry; `admin` only for an operator."""
    found = claims(mint(SECRET, "alice", admin=True, ttl_s=60))
    assert found["sub"] == "alice"
    assert found["admin"] is True
    assert int(str(found["exp"])) - int(str(found["iat"])) == 60
    assert "admin" not in claims(mint(SECRET, "bob", admin=False, ttl_s=60))


def test_verb_uses_the_secret_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JWT_SECRET takes precedence."""
    monkeypatch.delenv("JWT_SECRET", raising=False)
    (tmp_path / "secret").write_text(SECRET + "\n")
    run = CliRunner().invoke(main, ["token", "--user", "alice", "--ttl", "8h", "--data", str(tmp_path)])
    assert claims(run.output.strip())["sub"] == "alice"
    other = "o" * 64
    run = CliRunner().invoke(
        main, ["token", "--user", "bob", "--data", str(tmp_path)], env={"JWT_SECRET": other}
    )
    assert claims(run.output.strip(), other)["sub"] == "bob"


def test_missing_secret_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a remedy."""
    monkeypatch.delenv("JWT_SECRET", raising=False)
    run = CliRunner().invoke(main, ["token", "--user", "alice", "--data", str(tmp_path)])
    assert run.exit_code == 1
    assert run.output.count("\n") == 1
    assert f"tasktape up --data {tmp_path}` once" in run.output


@pytest.mark.parametrize("ttl", ["0", "-1h", "1y", "", "99999999d", "1h30m"])
def test_invalid_duration_is_a_usage_error(ttl: str, tmp_path: Path) -> None:
    """Exit status 2, and the message names the option."""
    (tmp_path / "secret").write_text(SECRET)
    run = CliRunner().invoke(main, ["token", "--user", "a", "--ttl", ttl, "--data", str(tmp_path)])
    assert run.exit_code == 2
    assert "--ttl" in run.output


def test_default_user_is_that_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So `curl` with the token sees what `tasktape list` shows."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("LOGNAME", "zoe")
    printed = CliRunner().invoke(main, ["token", "--data", str(tmp_path)])
    assert claims(printed.output.strip())["sub"] == "zoe"
