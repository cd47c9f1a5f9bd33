"""``streamd config``: check the configuration, show the settings in effect, print the reference."""

from collections import Counter
from pathlib import Path

import click

from ..config import Loaded, load
from ..config.reference import effective_json, effective_toml, reference_text
from ..settings import Settings
from ..startup import prepare_start

_file = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file; by default the one that STREAMD_CONFIG names, if any.",
)


@click.group()
def config() -> None:
    """Check and show the configuration, and print its reference."""


@config.command()
@_file
def check(file: Path | None) -> None:
    """Check the configuration that `streamd serve` would start with.

    Reads the file, the environment, and the files that they name, and tries the addresses and the store
    without creating anything; those that are in use pass. Exits with status 0 if the server can start, else
    with status 2 and every problem on standard error.
    """
    loaded = prepare_start(file).loaded
    click.echo(f"The configuration is valid: {_summary(loaded)}.")


@config.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="JSON with the settings and their origins.")
def show(file: Path | None, as_json: bool) -> None:
    """Print the settings in effect with their sources, secrets masked."""
    loaded = load(Settings, file)
    click.echo(effective_json(loaded) if as_json else effective_toml(loaded), nl=False)


@config.command()
def reference() -> None:
    """Print every setting with its help, unit and default: the text of conf/streamd.toml."""
    click.echo(reference_text(Settings), nl=False)


def _summary(loaded: Loaded[Settings]) -> str:
    """Count the settings by source, such as ``2 settings in streamd.toml, 1 from the environment``."""
    if not loaded.origins:
        return "every setting has its default" + (f", {loaded.file} changes none" if loaded.file else "")
    counts = Counter("from the environment" if o.startswith("from") else o for o in loaded.origins.values())
    said = [f"{count} setting{'s' if count > 1 else ''} {origin}" for origin, count in sorted(counts.items())]
    return ", ".join(said) + ", the others have their defaults"
