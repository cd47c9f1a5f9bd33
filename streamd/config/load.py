"""Reading the settings: defaults, then a TOML file, then the environment, then flags; later ones win.

Nothing is guessed and nothing is skipped: every problem of every source is found before one error
names them all, each with the setting's path, the value, where it came from and what would be right.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from ..errors import ConfigError
from .combinations import clashes, value_at
from .convert import WrongTypeError, expected, from_text, from_value, to_toml
from .fields import Setting, settings_of
from .settings import Settings

SETTINGS = settings_of(Settings)
_SECTIONS = tuple(dict.fromkeys(setting.section for setting in SETTINGS.values()))
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS.values()}
_FILE_VARIABLE = "STREAMD_CONFIG"
_SHOWN_CHARACTERS = 80  # a longer value is cut in messages


@attrs.frozen
class Problem:
    """One thing wrong with the configuration; ``path`` is None when it is the file as a whole."""

    path: str | None
    text: str


class SettingsError(ConfigError):
    """The configuration cannot be used; ``problems`` has every reason, the first one gives ``field``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text for problem in self.problems), field=self.problems[0].path)


@attrs.frozen
class Loaded:
    """Settings, and where each that is not a default came from, by path."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file; None takes the one that ``STREAMD_CONFIG`` names, or none at all.
        environ: the environment, by default this process's; ``STREAMD_SECTION__NAME`` sets ``section.name``.
        overrides: values of command line flags by dotted path; None and () mean that a flag was not given.

    Raises:
        ConfigError: an unknown setting, a wrong type, a broken bound or an impossible combination;
            its detail has a line for each.
    """
    return load_with_origins(path, environ, overrides).settings


def load_with_origins(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Loaded:
    """The same as `load_settings`, and tells where each value came from."""
    environ = os.environ if environ is None else environ
    if path is None and environ.get(_FILE_VARIABLE):
        path = Path(environ[_FILE_VARIABLE])
    gathered = _Gathered()
    if path is not None:
        gathered.add_file(path)
    gathered.add_environment(environ)
    gathered.add_flags(overrides or {})
    settings = _build(gathered.values)
    wrong = {problem.path for problem in gathered.problems}
    problems = gathered.problems + _impossible(settings, gathered.origins, leave_out=wrong)
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, gathered.origins, path)


def check_settings(settings: Settings) -> None:
    """Refuse settings that contradict each other, for programs that make their own.

    Raises:
        ConfigError: an impossible combination.
    """
    if problems := _impossible(settings, {}, leave_out=set()):
        raise SettingsError(problems)


@attrs.define
class _Gathered:
    """What the sources said so far."""

    values: dict[str, Any] = attrs.field(factory=dict)
    origins: dict[str, str] = attrs.field(factory=dict)
    problems: list[Problem] = attrs.field(factory=list)

    def add_file(self, path: Path) -> None:
        try:
            document = tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            self._unreadable(path, f"the file cannot be read: {error.strerror or error}")
        except UnicodeDecodeError as error:
            self._unreadable(path, f"the file is not UTF-8 (byte {error.start})")
        except (ValueError, RecursionError) as error:  # plain ValueError: a number with thousands of digits
            self._unreadable(path, f"the file is not valid TOML: {error}")
        else:
            for section, table in document.items():
                self._add_section(section, table, f"in {path}")

    def _add_section(self, section: str, table: object, origin: str) -> None:
        if isinstance(table, dict) and section in _SECTIONS:
            for name, value in table.items():
                self._add_value(f"{section}.{name}", value, origin)
        elif isinstance(table, dict):
            closest = next(iter(difflib.get_close_matches(section, _SECTIONS, n=1)), None)
            advice = f"did you mean [{closest}]?" if closest else "there are " + ", ".join(_SECTIONS)
            self.problems.append(
                Problem(section, f"[{section}] ({origin}): there is no such section; {advice}")
            )
        elif section in _SECTIONS:
            self._wrong(
                section, _shown(table), origin, f"must be a section: write [{section}] above its settings"
            )
        else:
            self._unknown(section, table, origin, _closest_path(section))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        for variable, text in sorted(environ.items()):
            # Without the double underscore it is somebody else's: Kubernetes sets STREAMD_PORT and the like.
            if not variable.startswith("STREAMD_") or "__" not in variable:
                continue
            origin = f"from {variable}"
            if (setting := _BY_VARIABLE.get(variable)) is not None:
                self._accept(setting, text, origin, from_text)
            else:
                path = variable.removeprefix("STREAMD_").lower().replace("__", ".", 1)
                closest = _closest_path(path)
                self._unknown(path, text, origin, closest and SETTINGS[closest].variable)

    def add_flags(self, overrides: Mapping[str, object]) -> None:
        for path, value in overrides.items():
            if value is not None and value != ():
                self._add_value(path, value, "from a flag")

    def _add_value(self, path: str, value: object, origin: str) -> None:
        if (setting := SETTINGS.get(path)) is not None:
            self._accept(setting, value, origin, from_value)
        else:
            self._unknown(path, value, origin, _closest_path(path))

    def _accept(self, setting: Setting, given: Any, origin: str, convert: Callable[[Any, Any], Any]) -> None:
        """Take a value, or note why not; a later source replaces an earlier one."""
        try:
            value = convert(given, setting.type)
        except WrongTypeError:
            fits = False
        else:
            fits = all(check.holds(value) for check in setting.checks)
        if fits:
            self.values[setting.path] = value
            self.origins[setting.path] = origin
        else:
            shown = "********" if setting.secret else _shown(given)
            self._wrong(setting.path, shown, origin, f"must be {expected(setting)}")

    def _unknown(self, path: str, value: object, origin: str, closest: str | None) -> None:
        advice = f"; did you mean {closest}?" if closest else "; `streamd config reference` lists them all"
        self._wrong(path, _shown(value), origin, f"there is no such setting{advice}")

    def _unreadable(self, path: Path, why: str) -> None:
        self.problems.append(Problem(None, f"{path}: {why}"))

    def _wrong(self, path: str, shown: str, origin: str, right: str) -> None:
        self.problems.append(Problem(path, f"{path} = {shown} ({origin}): {right}"))


def _build(values: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, name = path.split(".")
        sections.setdefault(section, {})[name] = value
    classes = {field.name: field.type for field in attrs.fields(Settings)}
    made: dict[str, Any] = {name: _made(classes[name], given) for name, given in sections.items()}
    return Settings(**made)


def _made(section: Any, given: dict[str, Any]) -> object:
    return section(**given)


def _impossible(settings: Settings, origins: Mapping[str, str], leave_out: set[str | None]) -> list[Problem]:
    """The clashes as problems, but for those of settings that already have one."""
    problems = []
    for clash in clashes(settings):
        if leave_out.isdisjoint(clash.paths):
            said = [
                f"{path} = {_shown(value_at(settings, path))} ({origins.get(path, 'default')})"
                for path in clash.paths
            ]
            # To blame is what somebody wrote, not a default.
            field = next((path for path in clash.paths if path in origins), clash.paths[0])
            problems.append(Problem(field, f"{', '.join(said)}: {clash.right}"))
    return problems


def _closest_path(path: str) -> str | None:
    """The known path that an unknown one may stand for: the same name elsewhere, or one spelt alike."""
    section, _, name = path.rpartition(".")
    same_name = [known.path for known in SETTINGS.values() if known.name == name]
    if same_name:
        return difflib.get_close_matches(path, same_name, n=1, cutoff=0)[0]
    if section in _SECTIONS:
        names = [known.name for known in SETTINGS.values() if known.section == section]
        return next((f"{section}.{match}" for match in difflib.get_close_matches(name, names, n=1)), None)
    return next(iter(difflib.get_close_matches(path, SETTINGS, n=1)), None)


def _shown(value: object) -> str:
    """A value as a message shows it: as TOML where it has a form there, and not too long."""
    text = to_toml(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
