"""Rules that no linter has: folders of tests, names of classes, first lines of docstrings."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS_WITHOUT_PACKAGE: Final = {
    "support",
    "contracts",
    "e2e",
    "bench",
    "chaos",
    "conformance",
    "fuzz",
    "hostile",
    "third_party",
}
"""Helpers, suites for the implementations of a port, stories over the whole server, five programs, and
programs that use the clients of others."""

FOLDERS_WITH_HELPERS: Final = {"support", "chaos", "conformance", "fuzz", "hostile", "third_party"}
"""Folders of modules that are no tests: helpers, programs, and the programs of ``third_party``."""

HEADLESS: Final = re.compile(r"(what|who|whose|whoever|how|whether|where|when|which)\b", re.IGNORECASE)


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path)


def is_test_module(path: str) -> bool:
    return re.fullmatch(r"(.*/)?test_\w+", path) is not None


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Yield every imported name as a path: of ``from a.b import c`` both ``a/b`` and ``a/b/c``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").replace(".", "/")
            yield module
            yield from (f"{module}/{alias.name}" for alias in node.names)


def test_no_test_module_imports_another() -> None:
    imports = {
        f"{relative(path)} imports {module}"
        for path in python_files("tests")
        for module in imported_modules(parse(path))
        if is_test_module(module) and (ROOT / f"{module}.py").exists()
    }
    assert imports == set(), "move what two test modules share to tests/support"


def test_helper_modules_live_in_support() -> None:
    elsewhere = {
        relative(path)
        for path in python_files("tests")
        if not is_test_module(path.stem)
        and path.name != "conftest.py"
        and path.relative_to(ROOT / "tests").parts[0] not in FOLDERS_WITH_HELPERS
    }
    assert elsewhere == set()


def test_folders_of_tests_mirror_the_package() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in python_files("tests")}
    unknown = {
        folder.as_posix()
        for folder in folders
        if folder.parts
        and folder.parts[0] not in FOLDERS_WITHOUT_PACKAGE
        and not (ROOT / "streamd" / folder / "__init__.py").exists()
    }
    assert unknown == set()


def test_no_class_name_is_used_twice_in_the_package() -> None:
    places = defaultdict(list)
    for path in python_files("streamd"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(relative(path))
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert twice == {}, "rename all but one"


def headless_docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the first line of docstrings that begin with a question word, also of those below constants."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))) if HEADLESS.match(text.lstrip()):
                yield text.strip().splitlines()[0]


def test_no_docstring_begins_with_a_question_word() -> None:
    found = {
        relative(path): first_lines
        for path in python_files("streamd", "bench", "conf", "tests")
        if (first_lines := list(headless_docstrings(parse(path))))
    }
    assert found == {}, "begin with a verb, or name the thing"


def called_names(tree: ast.Module) -> Iterator[str]:
    """Yield the name of every function or method that is called or referred to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def test_one_module_decides_the_validity_of_text() -> None:
    places = {
        relative(path) for path in python_files("streamd") if "isprintable" in called_names(parse(path))
    }
    assert places == {"streamd/characters.py"}, "str.isprintable is no check of validity: use find_invalid"
