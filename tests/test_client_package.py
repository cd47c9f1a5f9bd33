"""The npm package of the browser client as its users install it: contents, exports, types, the README."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from tests.support.nodejs import CLIENT, run_node

MODULES = CLIENT / "node_modules"
EXPORTS = json.loads((CLIENT / "package.json").read_text())["exports"]
IMPORTS = [f"streamd-client{path.removeprefix('.')}" for path in EXPORTS]
COMPILER_OPTIONS = {
    "target": "ES2022",
    "strict": True,
    "noEmit": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "verbatimModuleSyntax": True,
    "jsx": "react-jsx",
    "lib": ["ES2022", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
}
BLOCK = re.compile(r"^```(tsx?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
README_BLOCKS = BLOCK.findall((CLIENT / "README.md").read_text())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the package; return the archive."""
    folder = tmp_path_factory.mktemp("packed")
    run_node("pack", "--ignore-scripts", "--pack-destination", folder, program="npm")
    [archive] = folder.glob("*.tgz")
    return archive


@pytest.fixture(scope="module")
def consumer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project that has the package, React, and the types of React and Node."""
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "package.json").write_text('{"type": "module"}')
    installed = folder / "node_modules"
    installed.mkdir()
    with tarfile.open(package) as archive:
        archive.extractall(installed, filter="data")
    (installed / "package").rename(installed / "streamd-client")
    for name in ("react", "react-dom", "@types"):
        (installed / name).symlink_to(MODULES / name)
    return folder


def compile_files(folder: Path, name: str, files: dict[str, str], **options: object) -> None:
    """Check the types of files in a project.

    Raises:
        AssertionError: tsc reports a mistake.
    """
    sources = folder / name
    sources.mkdir()
    for file, text in files.items():
        (sources / file).write_text(text)
    config = {"compilerOptions": {**COMPILER_OPTIONS, **options}, "include": ["."]}
    (sources / "tsconfig.json").write_text(json.dumps(config))
    run_node(MODULES / "typescript/bin/tsc", "--project", sources, folder=folder)


def test_the_package_has_the_built_files_the_sources_and_their_papers(package: Path) -> None:
    with tarfile.open(package) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    folders = {"dist", "src"}
    files = {
        path.relative_to(CLIENT).as_posix()
        for folder in folders
        for path in (CLIENT / folder).rglob("*")
        if path.is_file()
    }
    assert names == files | {"README.md", "LICENSE", "package.json"}


def test_the_licence_is_that_of_streamd() -> None:
    assert (CLIENT / "LICENSE").read_bytes() == (CLIENT.parents[2] / "LICENSE").read_bytes()


def test_publint_has_no_complaint(package: Path) -> None:
    report = run_node("node_modules/publint/src/cli.js", "run", package, "--strict")
    assert "All good!" in report


@pytest.mark.parametrize(
    ("module", "resolution"), [("NodeNext", "NodeNext"), ("ESNext", "Bundler")], ids=["node", "bundler"]
)
def test_the_types_of_every_export_are_found_and_sound(consumer: Path, module: str, resolution: str) -> None:
    names = [re.sub(r"\W", "_", path) for path in IMPORTS]
    uses = [f'import * as {name} from "{path}";' for name, path in zip(names, IMPORTS, strict=True)]
    # An import without types would be any, to which everything can be assigned.
    uses += [
        f"export const typed_{name}: 0 extends 1 & typeof {name} ? never : true = true;" for name in names
    ]
    uses += [
        'import { createStream, type StreamState } from "streamd-client";',
        'export const state: StreamState = createStream("/events").state;',
        "// @ts-expect-error there is no such option",
        'createStream("/events", { topic: "a" });',
    ]
    compile_files(
        consumer,
        f"with-{resolution}",
        {"uses.ts": "\n".join(uses)},
        module=module,
        moduleResolution=resolution,
        types=[],
    )


def test_every_export_can_be_imported_where_there_is_no_page(consumer: Path) -> None:
    """A server that renders React imports the modules, too."""
    program = (
        f"for (const path of {json.dumps(IMPORTS)})"
        " console.log(path, Object.keys(await import(path)).length);"
    )
    (consumer / "imports.mjs").write_text(program)
    printed = run_node("imports.mjs", folder=consumer).split("\n")
    assert [line.split()[0] for line in printed if line] == IMPORTS
    assert all(int(line.split()[1]) > 0 for line in printed if line)


def test_the_react_module_is_for_clients_where_components_run_on_a_server() -> None:
    assert (CLIENT / "dist/react.js").read_text().startswith('"use client";')


def test_the_code_of_the_readme_has_no_mistake_of_types(consumer: Path) -> None:
    assert len(README_BLOCKS) >= 10
    files = {
        f"block-{number}.{language}": f"{text}\nexport {{}};\n"
        for number, (language, text) in enumerate(README_BLOCKS)
    }
    compile_files(
        consumer,
        "readme",
        files,
        module="ESNext",
        moduleResolution="Bundler",
        skipLibCheck=True,
        types=["node", "react"],
    )
