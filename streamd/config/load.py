"""The loader of settings: defaults, then a TOML file, then the environment, then flags; later ones win.

It is generic over the root class. Nothing is guessed and nothing is skipped: every problem of every source
is found before one error names them all, each with the setting's path, the value, its source and what would
be right.
"""

import difflib
import os
import tomllib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from ..errors import ConfigError
from .clashes import find_clashes
from .convert import InvalidValueError, from_text, from_value, read_value, to_toml
from .fields import MASK, TUNING, Setting, settings_of, value_at
from .retired import removed_from, successor

S = TypeVar("S", bound=attrs.AttrsInstance)
FindMistakes = Callable[[S], Iterable[ConfigError]]
"""Find mistakes that the settings alone do not show, such as a missing file; each names its setting."""

_FILE_VARIABLE = "STREAMD_CONFIG"
_PREFIX = "STREAMD_"
_SHOWN_CHARACTERS = 80  # a longer value is cut in messages


@attrs.frozen
class SettingProblem:
    """One defect of the configuration.

    Args:
        path: of the setting, or of a part of its value: ``log.retention[1].pattern``; None if it is the file
            as a whole.
        text: for the operator.
        others: paths of the settings that contradict it.
    """

    path: str | None
    text: str
    others: tuple[str, ...] = ()

    @property
    def settings(self) -> Iterable[str | None]:
        """The paths of all settings concerned."""
        return (self.path and self.path.partition("[")[0], *self.others)


class SettingsError(ConfigError):
    """The configuration cannot be used; ``problems`` has every reason, the first one gives ``field``."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text for problem in self.problems), field=self.problems[0].path)

    @classmethod
    def of(cls, errors: Iterable[ConfigError]) -> "SettingsError":
        """Join errors: each line of their details is a problem of its own, and none comes twice."""
        return cls(dict.fromkeys(problem for error in errors for problem in _problems_of(error)))


@attrs.frozen
class Loaded(Generic[S]):
    """Loaded settings, and the source of each that is not a default, by path."""

    settings: S
    origins: Mapping[str, str]
    file: Path | None


def _find_none(_settings: attrs.AttrsInstance) -> Iterable[ConfigError]:
    return ()


def load(
    root: type[S],
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    find_mistakes: FindMistakes[S] = _find_none,
) -> Loaded[S]:
    """Load the settings of all sources.

    Args:
        root: the class whose fields are the sections.
        path: the TOML file; None takes the one that ``STREAMD_CONFIG`` names, if any.
        environ: the environment, by default this process's; ``STREAMD_SECTION__NAME`` sets ``section.name``.
        overrides: values of command line flags by dotted path; None and () mean that a flag was not given.
        find_mistakes: finds further mistakes, in the settings that are valid by themselves.

    Raises:
        SettingsError: an unknown setting, a wrong type, a broken bound, an impossible combination or a
            further mistake; its detail has a line for each.
    """
    environ = os.environ if environ is None else environ
    if path is None and environ.get(_FILE_VARIABLE):
        path = Path(environ[_FILE_VARIABLE])
    gathered = _Gathered(root)
    if path is not None:
        gathered.add_file(path)
    gathered.add_environment(environ)
    gathered.add_flags(overrides or {})
    settings = with_values(root(), gathered.values)
    wrong = {path for problem in gathered.problems for path in problem.settings}
    problems = gathered.problems + _contradictions(settings, gathered.origins, leave_out=wrong)
    wrong |= {path for problem in problems for path in problem.settings}
    problems += _further(find_mistakes(settings), leave_out=wrong)
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, gathered.origins, path)


def check_settings(settings: attrs.AttrsInstance) -> None:
    """Check for contradictions in settings that :func:`load` did not return, such as those of a reload.

    Single values are checked when an object of settings is made; a program calls this for the rest.

    Raises:
        SettingsError: an impossible combination.
    """
    if problems := _contradictions(settings, {}, leave_out=set()):
        raise SettingsError(problems)


@attrs.define
class _Gathered:
    """The values of all sources read so far, by attribute path, and the problems found."""

    root: type
    values: dict[str, Any] = attrs.field(factory=dict)
    origins: dict[str, str] = attrs.field(factory=dict)
    problems: list[SettingProblem] = attrs.field(factory=list)

    @property
    def known(self) -> Mapping[str, Setting]:
        return settings_of(self.root)

    def add_file(self, path: Path) -> None:
        try:
            document = tomllib.loads(path.read_bytes().removeprefix(BOM_UTF8).decode())
        except OSError as error:
            self._unreadable(path, f"the file cannot be read: {error.strerror or error}")
        except UnicodeDecodeError as error:
            self._unreadable(path, f"the file is not UTF-8 (byte {error.start})")
        except (ValueError, RecursionError) as error:  # plain ValueError: a number with thousands of digits
            self._unreadable(path, f"the file is not valid TOML: {error}")
        else:
            self._add_table("", document, f"in {path}")

    def _add_table(self, prefix: str, table: Mapping[str, object], origin: str) -> None:
        tables = _tables(self.root)
        for name, value in table.items():
            path = prefix + name
            if path in tables and isinstance(value, dict):
                self._add_table(f"{path}.", value, origin)
            elif path in tables:
                right = f"must be a section: write [{path}] above its settings"
                self._wrong(path, _shown(value), origin, right)
            elif isinstance(value, dict) and path not in self.known:
                text = f"[{path}] ({origin}): there is no such section; {_table_advice(path, tables)}"
                self.problems.append(SettingProblem(path, text))
            else:
                self._add_value(path, value, origin)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        by_variable = {each.variable: each for each in self.known.values()}
        for variable, text in sorted(environ.items()):
            # Variables without a double underscore are not ours: Kubernetes sets STREAMD_PORT and the like.
            if not variable.startswith(_PREFIX) or "__" not in variable:
                continue
            origin = f"from {variable}"
            if (setting := by_variable.get(variable)) is not None:
                self._accept(setting, text, origin, from_text)
            else:
                path = variable.removeprefix(_PREFIX).lower().replace("__", ".")
                self._unknown(path, text, origin, lambda known: known.variable)

    def add_flags(self, overrides: Mapping[str, object]) -> None:
        for path, value in overrides.items():
            if value is not None and value != ():
                self._add_value(path, value, "from a flag")

    def _add_value(self, path: str, value: object, origin: str) -> None:
        if (setting := self.known.get(path)) is not None:
            self._accept(setting, value, origin, from_value)
        else:
            self._unknown(path, value, origin, lambda known: known.path)

    def _accept(self, setting: Setting, given: Any, origin: str, convert: Callable[[Any, Any], Any]) -> None:
        """Take a value, or note why not; a later source replaces an earlier one."""
        try:
            self.values[setting.attribute] = read_value(setting, given, convert)
        except InvalidValueError as error:
            for mistake in error.mistakes:
                shown = MASK if setting.secret else _shown(mistake.value)
                self._wrong(setting.path + mistake.part, shown, origin, mistake.right)
        else:
            self.origins[setting.path] = origin

    def _unknown(self, path: str, value: object, origin: str, named: Callable[[Setting], str]) -> None:
        """Note a path that is no setting, with the setting it may stand for, as ``named`` in its source."""
        reason = removed_from(self.root).get(path)
        now, meant = successor(self.root, path), _closest(self.root, path)
        if reason is not None:
            right = f"{path} was removed: {reason}"
        elif now is not None:
            right = f"{path} is now {now.path}" + ("" if named(now) == now.path else f": set {named(now)}")
        elif meant is not None:
            right = f"there is no such setting; did you mean {named(meant)}?"
        else:
            right = "there is no such setting; `streamd config reference` lists them all"
        secret = any(each is not None and each.secret for each in (now, meant))
        self._wrong(path, MASK if secret else _shown(value), origin, right)

    def _unreadable(self, path: Path, why: str) -> None:
        self.problems.append(SettingProblem(None, f"{path}: {why}"))

    def _wrong(self, path: str, shown: str, origin: str, right: str) -> None:
        self.problems.append(SettingProblem(path, f"{path} = {shown} ({origin}): {right}"))


def with_values(settings: S, values: Mapping[str, Any]) -> S:
    """Return settings with other values, by attribute path."""
    direct: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if dot:
            nested.setdefault(name, {})[rest] = value
        else:
            direct[name] = value
    parts = {name: with_values(getattr(settings, name), given) for name, given in nested.items()}
    changed: S = attrs.evolve(settings, **direct, **parts)  # type: ignore[misc] # S is bound to attrs classes
    return changed


def _contradictions(
    settings: attrs.AttrsInstance, origins: Mapping[str, str], leave_out: set[str | None]
) -> list[SettingProblem]:
    """Return the clashes as problems, without those of settings that already have one."""
    by_attribute = {each.attribute: each for each in settings_of(type(settings)).values()}
    problems = []
    for clash in find_clashes(settings):
        declared = [by_attribute[attribute] for attribute in clash.paths]
        paths = tuple(each.path for each in declared)
        if leave_out.isdisjoint(paths):
            said = [
                f"{each.path} = {_shown_at(settings, each)} ({origins.get(each.path, 'default')})"
                for each in declared
            ]
            # A value that an operator wrote is to blame, not a default.
            field = next((path for path in paths if path in origins), paths[0])
            others = tuple(path for path in paths if path != field)
            problems.append(SettingProblem(field, f"{', '.join(said)}: {clash.advice(paths)}", others))
    return problems


def _shown_at(settings: attrs.AttrsInstance, setting: Setting) -> str:
    """Format the value of a setting for a message; a secret is masked."""
    return MASK if setting.secret else _shown(value_at(settings, setting.attribute))


def _further(mistakes: Iterable[ConfigError], leave_out: set[str | None]) -> list[SettingProblem]:
    """Return mistakes as problems, one for each line, without those of settings that already have one."""
    found = dict.fromkeys(problem for mistake in mistakes for problem in _problems_of(mistake))
    return [problem for problem in found if problem.path is None or problem.path not in leave_out]


def _problems_of(error: ConfigError) -> Iterable[SettingProblem]:
    if isinstance(error, SettingsError):
        return error.problems
    return [SettingProblem(error.field, line) for line in error.detail.splitlines()]


def _tables(root: type) -> list[str]:
    """Return every table of the file, also those that hold tables only, in the order of the reference."""
    # Every section is a table, also one with nothing but tuning: an old file may still have settings in it.
    found: dict[str, None] = dict.fromkeys(field.name for field in attrs.fields(root))
    for setting in settings_of(root).values():
        parts = setting.table.split(".")
        found.update((".".join(parts[: length + 1]), None) for length in range(len(parts)))
    return list(found)


def _table_advice(path: str, tables: list[str]) -> str:
    closest = difflib.get_close_matches(path, tables, n=1)
    sections = [table for table in tables if "." not in table]
    return f"did you mean [{closest[0]}]?" if closest else "there are " + ", ".join(sections)


def _closest(root: type, path: str) -> Setting | None:
    """Return the setting that an unknown path may stand for: the same name elsewhere, or a similar one."""
    known = settings_of(root)
    table, _, name = path.rpartition(".")
    same_name = [each.path for each in known.values() if each.name == name]
    if same_name:
        return known[difflib.get_close_matches(path, same_name, n=1, cutoff=0)[0]]
    section = table.removeprefix(f"{TUNING}.")
    near = {each.name: each for each in known.values() if each.attribute.rpartition(".")[0] == section}
    if near:
        return next((near[match] for match in difflib.get_close_matches(name, near, n=1)), None)
    return next((known[match] for match in difflib.get_close_matches(path, known, n=1)), None)


def _shown(value: object) -> str:
    """Format a value for a message: as TOML where it has a form there, and cut to a readable length."""
    text = to_toml(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
