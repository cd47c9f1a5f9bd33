"""`streamd config check` finds everything that `streamd serve` would refuse, and creates nothing."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from streamd.auth import AuthSettings
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from streamd.startup import check_access
from tests.support import program
from tests.support.certificates import authority
from tests.support.config_check import check_refused, run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, without settings of the environment."""
    for name in os.environ:
        if name.startswith("STREAMD_"):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


# --- files that settings name ---------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["research.areas_file", "strategy.content_file"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"x = [", "is not valid TOML"),
        (b"\xff", "is not UTF-8"),
        (b"surprise = 1\n", "surprise"),
    ],
)
def test_a_content_file(folder: Path, setting: str, content: bytes | None, text: str) -> None:
    file = folder / "content.toml"
    if content is not None:
        file.write_bytes(content)
    variable = "STREAMD_" + setting.replace(".", "__").upper()
    check_refused({variable: str(file)}, setting, text, folder)
    assert (
        run(
            "config",
            "check",
            environ={
                variable: str(file),
                "STREAMD_RESEARCH__ENABLED": "false",
                "STREAMD_STRATEGY__ENABLED": "false",
            },
        ).exit_code
        == 0
    )


def test_every_mistake_of_an_areas_file_is_a_line_that_names_the_setting(folder: Path) -> None:
    file = folder / "areas.toml"
    file.write_text(
        '[datasets.a]\nfile = "gone.json"\n[datasets.b]\nurl = "ftp://x"\n'
        '[datasets.c]\nurl = "http://x/"\nheaders_from_env = { Key = "NOT_SET" }\n'
        '[areas.x]\ndatasets = ["d"]\n'
    )
    environ = {"STREAMD_RESEARCH__AREAS_FILE": str(file)}
    for text in ("gone.json", "http:// or https://", "NOT_SET", "no dataset 'd'"):
        check_refused(environ, f"research.areas_file: {file}: ", text, folder)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file or directory"),
        ("no key", "is neither a JWK, nor a JWK set, nor PEM"),
        ('{"kty": "RSA", "n": "AQAB", "e": "AQAB"}', "the RSA key has 17 bits"),
    ],
)
def test_a_key_file_of_tokens(folder: Path, content: str | None, text: str) -> None:
    file = folder / "key.json"
    if content is not None:
        file.write_text(content)
    check_refused({"STREAMD_AUTH__KEY_FILE": str(file)}, "auth.key_file", text, folder)


def test_every_key_that_is_too_weak_is_a_line_that_does_not_show_it(folder: Path) -> None:
    environ = {"STREAMD_AUTH__KEYS": "HS256:d2Vhaw,HS512:d2Vhaw"}
    for index, algorithm in enumerate(("HS256", "HS512")):
        check_refused(environ, f"auth.keys[{index}]: ", f"{algorithm} needs at least", folder)
    assert "d2Vhaw" not in run("config", "check", environ=environ).output


def write_pair(folder: Path) -> dict[str, str]:
    """Write a certificate and its key, and return the variables that name them."""
    issued = authority().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return {
        "STREAMD_SERVER__CERTFILE": str(folder / "cert.pem"),
        "STREAMD_SERVER__KEYFILE": str(folder / "key.pem"),
    }


def break_certificate(folder: Path) -> None:
    (folder / "cert.pem").write_text("no certificate")


def break_key(folder: Path) -> None:
    (folder / "key.pem").write_text("no key")


def exchange_key(folder: Path) -> None:
    authority().issue_cert("127.0.0.1").private_key_pem.write_to_path(str(folder / "key.pem"))


def encrypt_key(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encryption = serialization.BestAvailableEncryption(b"secret")
    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, format, encryption))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def replace_by_folder(folder: Path) -> None:
    remove("cert.pem")(folder)
    (folder / "cert.pem").mkdir()


@pytest.mark.parametrize(
    ("damage", "setting", "text"),
    [
        (remove("cert.pem"), "server.certfile", "cannot be read: No such file or directory"),
        (remove("key.pem"), "server.keyfile", "cannot be read: No such file or directory"),
        (replace_by_folder, "server.certfile", "cannot be read: Is a directory"),
        (break_certificate, "server.certfile", "has no certificate in PEM form"),
        (break_key, "server.keyfile", "has no private key in PEM form"),
        (exchange_key, "server.keyfile", "is not the key of"),
        (encrypt_key, "server.keyfile", "is encrypted"),
    ],
)
def test_a_certificate(folder: Path, damage: Callable[[Path], None], setting: str, text: str) -> None:
    environ = write_pair(folder)
    assert run("config", "check", environ=environ).exit_code == 0
    damage(folder)
    check_refused(environ, setting, text, folder)


# --- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "text"),
    [
        ("127.0.0.1", "is not an address to listen on"),
        ("127.0.0.1:99999", "is not an address to listen on"),
        ("192.0.2.1:8080", "cannot listen on 192.0.2.1:8080: Cannot assign requested address"),
        ("nowhere.invalid:8080", "cannot listen on nowhere.invalid:8080"),
        (f"{'x' * 70}.example:8080", "the name of the host is invalid"),
        ("127.0.0.1:8471,localhost:8471", "is the same address as 127.0.0.1:8471"),
        ("127.0.0.1:8471,0.0.0.0:8471", "is the same address as 127.0.0.1:8471"),
        ("", "must name at least one address"),
    ],
)
def test_an_address(folder: Path, bind: str, text: str) -> None:
    check_refused({"STREAMD_SERVER__BIND": bind}, "server.bind", text, folder)


async def test_an_address_in_use_passes_since_the_server_itself_may_use_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = {"STREAMD_SERVER__BIND": f"127.0.0.1:{taken.getsockname()[1]}"}
        assert run("config", "check", environ=environ).exit_code == 0
        # In a process: it configures the log before it listens.
        result = await program.run("serve", **environ)
    assert result.returncode == 2
    assert "server.bind: cannot listen on 127.0.0.1" in result.stderr
    assert "Address already in use" in result.stderr


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("purchase_orders.default_currency", "EURO"),
        ("purchase_orders.merchant_currencies", "acme=EURO"),
        ("purchase_orders.merchant_currencies", "acme=EUR,acme=USD"),
        ("purchase_orders.default_merchant", "a/b"),
        ("purchase_orders.sync_url", "shop.example"),
        ("purchase_orders.sync_token", "with space"),
        ("text.url", "ftp://x"),
        ("text.url", "http://x:port"),
        ("text.api_key", "with space"),
        ("log.url", "redis:"),
        ("store.url", "postgres:"),
        ("store.url", "sqlite::memory:"),
        ("connections.max_connections", "10000000"),
        ("connections.max_per_user", "-1"),
        ("logging.level", "loud"),
        ("demo.follow_topic", "{nothing}"),
    ],
)
def test_a_value(folder: Path, setting: str, value: str) -> None:
    check_refused({"STREAMD_" + setting.replace(".", "__").upper(): value}, setting, setting, folder)


def test_contradictory_settings(folder: Path) -> None:
    environ = {"STREAMD_TEXT__URL": "https://api.example/v1"}
    check_refused(environ, "text.url", "set text.model", folder)
    check_refused({"STREAMD_SERVER__CERTFILE": "x"}, "server.certfile", "set server.keyfile", folder)
    environ = {"STREAMD_POLL__MAX_WAIT_SECONDS": "1"}
    check_refused(environ, "tuning.poll.wait_seconds", "must not be more than poll.max_wait_seconds", folder)


def test_settings_that_contradict_each_other_are_one_line(folder: Path) -> None:
    result = run("config", "check", environ={"STREAMD_TEXT__URL": "https://api.example/v1"})
    assert len(result.stderr.splitlines()[1:]) == 1, result.stderr


def test_a_store_that_prevents_the_application_hides_no_other_mistake(folder: Path) -> None:
    environ = {"STREAMD_STORE__URL": "sqlite::memory:", "STREAMD_TASKS__MAX_RUNNING": "0"}
    for setting in ("store.url", "tasks.max_running"):
        check_refused(environ, setting, setting, folder)


def test_all_mistakes_are_reported_at_once_a_line_each(folder: Path) -> None:
    environ = {
        "STREAMD_SERVER__DRAIN_SECONDS": "soon",
        "STREAMD_SERVER__BIND": "192.0.2.1:80",
        "STREAMD_SERVER__CERTFILE": "gone.pem",
        "STREAMD_SERVER__KEYFILE": "gone.key",
        "STREAMD_STORE__URL": "sqlite:/missing/folder/db",
        "STREAMD_RESEARCH__AREAS_FILE": "gone.toml",
        "STREAMD_STRATEGY__CONTENT_FILE": "gone.toml",
        "STREAMD_PURCHASE_ORDERS__DEFAULT_CURRENCY": "EURO",
        "STREAMD_CONNECTIONS__MAX_CONNECTIONS": "10000000",
        "STREAMD_NO__SETTING": "1",
    }
    served = {**environ, "STREAMD_AUTH__OPEN": "true"}
    result = run("config", "check", environ=served)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()[1:]
    assert len(lines) == len(environ)
    for variable in environ:
        setting = variable.removeprefix("STREAMD_").lower().replace("__", ".")
        assert any(line.startswith(setting) for line in lines), setting
    assert run("serve", environ=served).stderr.splitlines()[1:] == lines


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "streamd.example:80"])
def test_an_address_of_other_machines_needs_keys_or_the_word_open(folder: Path, bind: str) -> None:
    environ = {"STREAMD_SERVER__BIND": bind}
    check_refused(environ, "server.bind: ", "without keys every caller could publish", folder)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.8.0.1:0", "[::1]:0", "localhost:0"])
def test_an_address_of_this_machine_needs_neither(bind: str) -> None:
    settings = Settings(server=ServerSettings(bind=[bind]))
    assert list(check_access(settings)) == []


def test_keys_or_the_word_open_let_other_machines_reach_the_server() -> None:
    server = ServerSettings(bind=["0.0.0.0:80"])
    for auth in (AuthSettings(open=True), AuthSettings(keys=["HS256:x"]), AuthSettings(jwks_url="https://x")):
        assert list(check_access(Settings(server=server, auth=auth))) == []
    assert [error.field for error in check_access(Settings(server=server))] == ["server.bind"]
