"""The command line (layer 7): one module a command, imported only when the command runs.

May import everything below. Commands print results to standard output and everything else to standard error.
Exit
status: 0 success, 1 failure, 2 invalid command line or configuration.
"""

from importlib import import_module
from typing import Any

import click

from ..errors import ConfigError

# The module of each command, so that `streamd publish` does not import the server.
_COMMANDS = {
    "serve": "streamd.cli.serve",
    "publish": "streamd.cli.publish",
    "subscribe": "streamd.cli.subscribe",
    "tasks": "streamd.cli.tasks",
    "check-services": "streamd.cli.check_services",
    "config": "streamd.cli.config",
    "keys": "streamd.cli.keys",
    "token": "streamd.cli.token",
    "log": "streamd.cli.log",
}


class ConfigurationRefused(click.ClickException):
    """An error that prints every problem of a configuration and ends with status 2."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__("the configuration is invalid:\n" + error.detail)


class _Commands(click.Group):
    """A group that imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None for an unknown name."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn a `ConfigError` into a message and status 2."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise ConfigurationRefused(error) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streamd")
def main() -> None:
    """Publish events, and follow them over SSE, WebSocket or long polling."""


__all__ = ["ConfigurationRefused", "main"]
