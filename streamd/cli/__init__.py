"""The command line (layer 7): one module a command, imported only when that command runs.

May import everything below. Commands print results on standard output and all else on standard
error. Exit status: 0 fine, 1 it failed, 2 the command line or the configuration is wrong.
"""

from importlib import import_module
from typing import Any

import click

from ..errors import ConfigError

# Where each command lives, so that `streamd publish` does not wait for the server's imports.
_COMMANDS = {
    "serve": "streamd.cli.serve",
    "publish": "streamd.cli.publish",
    "subscribe": "streamd.cli.subscribe",
    "tasks": "streamd.cli.tasks",
    "check-services": "streamd.cli.check_services",
    "config": "streamd.cli.config",
}


class ConfigurationRefused(click.ClickException):
    """Shows every problem of a configuration and ends with status 2."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__("the configuration cannot be used:\n" + error.detail)


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which one meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a `ConfigError` from any of them becomes a message and status 2."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise ConfigurationRefused(error) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="streamd")
def main() -> None:
    """Publish events, and follow them over SSE, WebSocket or long-poll."""


__all__ = ["ConfigurationRefused", "main"]
