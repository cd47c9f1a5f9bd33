"""The process of one target: ``python -m tests.fuzz.child TARGET [LIBFUZZER ARGUMENT ...]``.

Only the modules of streamd are instrumented, those that the target imports.
"""

import sys
import warnings

import atheris  # type: ignore[import-untyped]

from tests.fuzz.catalogue import find_target


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["streamd"]):
        target = find_target(name)
    warnings.simplefilter("error")
    atheris.Setup([sys.argv[0], *arguments], target.take)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
