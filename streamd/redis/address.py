"""The address of a Redis server, as a URL names it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs

from ..errors import ConfigError

FROM_ENVIRONMENT: Final = "redis:"
"""The URL that stands for the one in the environment."""

_SCHEMES: Final = ("redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel")
REDIS_FORMS: Final = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, redis+unix:///PATH[?db=N], "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DATABASE], or redis: for the URL in REDIS_URL"
)
_VARIABLES: Final = ("REDIS_URL", "UPSTASH_REDIS_URL")
_TOKEN_VARIABLE: Final = "UPSTASH_REDIS_TOKEN"  # noqa: S105 - the name of a variable
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


@attrs.frozen
class RedisAddress:
    """The place where a Redis server listens, and the login.

    Args:
        hosts: name and port of the server, or of each sentinel; none for a Unix socket.
        path: of the Unix socket.
        service: the name by which the sentinels know the primary; '' without sentinels.
        database: number of the database.
        username: of the access list; '' for the default one.
        password: '' for none. It is not part of the representation.
        tls: encrypt, and check the server's certificate; also on connections to sentinels.
    """

    hosts: Sequence[tuple[str, int]] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = attrs.field(default="", repr=False)
    tls: bool = False

    def __str__(self) -> str:
        """Return the address without user and password, for people."""
        if self.path:
            return f"redis+unix://{self.path}"
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        service = f"+sentinel://{hosts}/{self.service}" if self.service else f"://{hosts}"
        return f"redis{'s' if self.tls else ''}{service}/{self.database}"


def is_redis_url(url: str) -> bool:
    """Return True for a URL whose scheme is one of Redis."""
    scheme, separator, _ = url.partition("://")
    return url == FROM_ENVIRONMENT or (separator != "" and scheme in _SCHEMES)


def parse_redis_url(url: str, setting: str, environment: Mapping[str, str]) -> RedisAddress:
    """Return the address that a URL names.

    Args:
        url: one of the forms that the error lists; ``redis:`` takes ``REDIS_URL`` or ``UPSTASH_REDIS_URL``,
            and ``UPSTASH_REDIS_TOKEN`` as the password where the URL has none.
        setting: the setting it comes from, for the error.
        environment: the variables.

    Raises:
        ConfigError: it is no such URL; the error does not show its password.
    """
    token = ""
    if url == FROM_ENVIRONMENT:
        name = next((each for each in _VARIABLES if environment.get(each)), None)
        if name is None:
            raise ConfigError(
                f"{setting} is 'redis:', and neither {' nor '.join(_VARIABLES)} is set in the environment",
                field=setting,
            )
        url, setting = environment[name], name
        token = environment.get(_TOKEN_VARIABLE, "")
    try:
        address = _parse(_split(url))
    except ValueError as error:
        # The cause may quote a part of the password.
        raise ConfigError(
            f"{setting} is no Redis URL: {error}; the forms are {REDIS_FORMS}", field=setting
        ) from None
    return attrs.evolve(address, password=address.password or token)


def _parse(parts: SplitResult) -> RedisAddress:
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme is {parts.scheme!r}")
    if parts.fragment:
        raise ValueError("it has a fragment; write # in a password as %23")
    user, _, place = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    segments = [unquote(each) for each in parts.path.strip("/").split("/")] if parts.path.strip("/") else []
    login: dict[str, Any] = {
        "username": unquote(username),
        "password": unquote(password),
        "tls": parts.scheme.startswith("rediss"),
    }
    if parts.scheme == "redis+unix":
        if place or not parts.path.startswith("/"):
            raise ValueError("the path of a Unix socket begins with a slash: redis+unix:///run/redis.sock")
        database = _database(query.pop("db", "0"))
        _refuse_query(query)
        return RedisAddress(path=unquote(parts.path), database=database, **login)
    _refuse_query(query)
    with_sentinels = parts.scheme.endswith("+sentinel")
    hosts = [_host(each, _SENTINEL_PORT if with_sentinels else _PORT) for each in place.split(",")]
    service = ""
    if with_sentinels:
        if not segments:
            raise ValueError("the name of the service is missing: redis+sentinel://HOST:PORT/SERVICE")
        service = segments.pop(0)
    elif len(hosts) > 1:
        raise ValueError("several hosts are for sentinels only")
    if len(segments) > 1:
        raise ValueError("the path has more than the number of a database")
    database = _database(segments[0]) if segments else 0
    return RedisAddress(hosts=hosts, service=service, database=database, **login)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("it has characters that no URL may have") from None


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("the host is missing")
    try:
        found = parts.port
    except ValueError:
        raise ValueError("the port is no number up to 65535; write / in a password as %2F") from None
    return parts.hostname, port if found is None else found


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("what follows the host is the number of a database; write / in a password as %2F")
    return int(text)


def _refuse_query(query: Mapping[str, str]) -> None:
    if query:
        raise ValueError("it has an unknown parameter; write ? in a password as %3F")
