"""`streamd token`: tokens that are made are accepted, and the inspection says what is wrong with others."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from streamd.auth import Caller, TaskScope
from streamd.auth.generate import public_jwk
from streamd.auth.tokens import TokenVerifier
from streamd.cli import main
from tests.support.fake_server import fake_server, respond
from tests.support.program import run as run_program
from tests.support.tokens import OTHER_SECRET, SECRET, auth_settings, forge, jwk_of, key_of, make_token


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMD_CONFIG", raising=False)


def run(*arguments: str, input: str = "", **environ: str) -> Result:
    variables = {"STREAMD_AUTH__KEYS": SECRET, **environ}
    return CliRunner().invoke(main, ["token", *arguments], env=variables, input=input)


def make(*arguments: str, **environ: str) -> str:
    result = run("make", *arguments, **environ)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return result.stdout.strip()


def verify(token: str, **settings: Any) -> Caller:
    return trio.run(TokenVerifier(auth_settings(**settings)).verify, token)


def inspect(token: str, *arguments: str, **environ: str) -> dict[str, Any]:
    result = run("inspect", "--json", *arguments, input=token, **environ)
    report: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if report["valid"] else 1)
    return report


def test_a_token_has_the_grants_of_its_options() -> None:
    began = time.time()
    token = make(
        *("--user", "ada", "--merchant", "acme", "--tasks", "own", "--admin", "--expires", "8h"),
        *("--publish", "jobs/7", "--publish", "jobs/*/log", "--subscribe", "**"),
    )
    caller = verify(token)
    assert (caller.user, caller.merchant) == ("ada", "acme")
    assert caller.grant.publish.topics == {"jobs/7"}
    assert [pattern.text for pattern in caller.grant.publish.patterns] == ["jobs/*/log"]
    assert caller.grant.subscribe.matches(["anything"])
    assert caller.grant.tasks is TaskScope.OWN
    assert caller.grant.admin
    assert caller.token_id
    assert caller.issued_at is not None
    assert int(began) <= caller.issued_at <= time.time()
    assert caller.expires_at == caller.issued_at + 8 * 3600 + 30


def test_a_token_without_options_grants_nothing_for_an_hour() -> None:
    first, second = verify(make()), verify(make())
    assert first.grant == Caller().grant
    assert first.issued_at is not None
    assert first.expires_at == first.issued_at + 3600 + 30
    assert first.token_id != second.token_id


def test_a_token_follows_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(
        '[auth]\nissuer = "https://id.example"\naudience = "streamd"\n'
        '[tuning.auth]\nsubscribe_claim = "streamd.read"\n'
    )
    token = make("--config", str(file), "--subscribe", "a")
    report = inspect(token, "--config", str(file))
    assert report["valid"]
    assert report["claims"]["iss"] == "https://id.example"
    assert report["claims"]["aud"] == "streamd"
    assert report["claims"]["streamd"] == {"read": ["a"]}
    assert "another issuer" in inspect(make(), "--config", str(file))["problem"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "HS512"])
def test_a_key_file_takes_the_place_of_the_configured_keys(tmp_path: Path, algorithm: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(jwk_of(algorithm)))
    token = make("--key-file", str(file), "--user", "ada")
    report = inspect(token, "--key-file", str(file))
    assert report["valid"]
    assert report["header"] == {"alg": algorithm, "typ": "JWT", "kid": jwk_of(algorithm)["kid"]}
    assert not inspect(token)["valid"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--expires", "soon"], "write a number and a unit"),
        (["--expires", "0h"], "write a number and a unit"),
        (["--expires", "99999999d"], "exp must be a time"),
        (["--tasks", "some"], "'some' is not one of"),
        (["--tasks", "own"], "names no user"),
        (["--publish", "**/a"], "--publish[0] has '**' before its last segment"),
        (["--subscribe", ""], "--subscribe[0] must not be empty"),
        (["--merchant", "a:b"], "must be a merchant"),
        (["--user", "a\nb"], "must be printable text"),
        ([f"--publish={number}{'a' * 900}" for number in range(9)], "may have 8192"),
    ],
)
def test_a_wrong_option_makes_no_token(arguments: list[str], says: str) -> None:
    result = run("make", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not result.stdout


def test_no_token_is_made_without_a_private_key(tmp_path: Path) -> None:
    result = run("make", STREAMD_AUTH__KEYS="")
    assert result.exit_code == 1
    assert "no key can sign" in result.stderr
    file = tmp_path / "public.json"
    file.write_text(json.dumps(public_jwk(jwk_of("ES256"))))
    assert "no key can sign" in run("make", "--key-file", str(file)).stderr


def test_a_broken_key_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    result = run("make", STREAMD_AUTH__KEYS="HS256:c2hvcnQ")
    assert result.exit_code == 2
    assert "auth.keys[0]: the secret has 5 bytes" in result.stderr
    assert "c2hvcnQ" not in result.output
    result = run("inspect", "--key-file", str(tmp_path / "none"), input="x")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


def test_a_token_is_inspected_as_an_argument_or_from_standard_input() -> None:
    token = make("--user", "ada", "--subscribe", "orders/**")
    for result in (run("inspect", token), run("inspect", input=f"Bearer {token}\n")):
        assert result.exit_code == 0
        rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
        assert rows["valid"] == "yes"
        assert rows["algorithm"] == "HS256"
        assert rows["user"] == "ada"
        assert rows["subscribe"] == "orders/**"
        assert rows["publish"] == "-"
        assert "in 1 h" in rows["until"]
        assert token.split(".")[2] not in result.stdout


def test_a_refused_token_is_shown_with_the_reason() -> None:
    report = inspect(make_token(key=OTHER_SECRET, subscribe=["a"]))
    assert report["problem"] == "the signature of the token is wrong"
    assert report["caller"]["subscribe"] == ["a"]
    result = run("inspect", make_token(exp=1_000_000_000))
    assert result.exit_code == 1
    assert "no: the token has expired (exp)" in result.stdout
    assert "2001-09-09 01:47:10 UTC" in result.stdout


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "three parts"),
        ("no token", "three parts"),
        ("a.b.c", "not base64url"),
        (forge({"alg": "none"}), "not accepted"),
        (forge({"alg": "HS256", "kid": "\x1b[31m"}), "signature"),
        (make_token({"exp": "never"}), "exp must be a time"),
        ("A" * 100_000, "longer than 8192"),
    ],
)
def test_any_text_can_be_inspected(token: str, says: str) -> None:
    assert says in inspect(token)["problem"]
    shown = run("inspect", input=token)
    assert shown.exit_code == 1
    assert says in shown.stdout
    assert "\x1b" not in shown.stdout


def test_a_token_cannot_be_verified_without_keys() -> None:
    report = inspect(make_token(), STREAMD_AUTH__KEYS="")
    assert "no keys are configured" in report["problem"]
    assert report["claims"]["sub"] == "ada"


def test_a_revoked_token_is_named() -> None:
    token = make_token(jti="7f3a")
    assert inspect(token)["valid"]
    assert "auth.revoked_tokens" in inspect(token, STREAMD_TUNING__AUTH__REVOKED_TOKENS="7f3a")["problem"]
    assert "auth.revoked_users" in inspect(token, STREAMD_TUNING__AUTH__REVOKED_USERS="ada")["problem"]


async def test_the_keys_of_an_issuer_are_fetched() -> None:
    token = make_token(key=key_of("ES256"), aud="us")
    keys = json.dumps({"keys": [public_jwk(jwk_of("ES256"))]}).encode()
    async with fake_server(respond(200, keys)) as server:
        variables = {"STREAMD_AUTH__JWKS_URL": server.url, "STREAMD_AUTH__AUDIENCE": "us"}
        done = await run_program("token", "inspect", "--json", input=token, **variables)
    assert done.returncode == 0
    assert json.loads(done.stdout)["valid"]
