"""``streamd config``: check the configuration, show what is in effect, print the reference."""

from collections import Counter
from pathlib import Path

import click

from ..config import Loaded, load
from ..config.reference import effective_json, effective_toml, reference_text
from ..settings import Settings

_file = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The TOML file; without it, the one that STREAMD_CONFIG names, if any.",
)


@click.group()
def config() -> None:
    """Check, show and explain the configuration."""


@config.command()
@_file
def check(file: Path | None) -> None:
    """Say whether the server would start with this configuration.

    Reads the file and the environment like `streamd serve`. Ends with status 0 when all is fine,
    else with status 2 and every problem on standard error.
    """
    loaded = load(Settings, file)
    click.echo(f"The configuration is fine: {_summary(loaded)}.")


@config.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="JSON with the settings and their origins.")
def show(file: Path | None, as_json: bool) -> None:
    """Print the settings in effect, secrets masked, with where each one came from."""
    loaded = load(Settings, file)
    click.echo(effective_json(loaded) if as_json else effective_toml(loaded), nl=False)


@config.command()
def reference() -> None:
    """Print every setting with its help, unit and default: the text of conf/streamd.toml."""
    click.echo(reference_text(Settings), nl=False)


def _summary(loaded: Loaded[Settings]) -> str:
    """Which sources had a say, such as ``2 settings in streamd.toml, 1 from the environment``."""
    if not loaded.origins:
        return "every setting has its default" + (f", {loaded.file} changes none" if loaded.file else "")
    counts = Counter("from the environment" if o.startswith("from") else o for o in loaded.origins.values())
    said = [f"{count} setting{'s' if count > 1 else ''} {origin}" for origin, count in sorted(counts.items())]
    return ", ".join(said) + ", the others have their defaults"
