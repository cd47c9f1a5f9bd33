"""The report of all rounds until now, as Markdown and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from ..machine import describe_machine
from ..report import write_json
from .bundles import Size
from .clients import BrowserClient
from .faults import Case
from .tables import Results, cost_table, describe, fault_cell, markdown, size_table

# The results of each client, by its name.
ByClient = dict[str, Results]


@attrs.define
class Report:
    """The results of all clients.

    Args:
        clients: in the order of rows and columns.
        chromium: version of the browser.
        sizes: of the libraries, by the client's name.

    Attributes:
        loads: by the load's title.
        faults: by case.
    """

    clients: Sequence[BrowserClient]
    chromium: str
    sizes: dict[str, Size]
    loads: dict[str, ByClient] = attrs.field(factory=dict, init=False)
    faults: dict[Case, ByClient] = attrs.field(factory=dict, init=False)

    def new_results(self) -> ByClient:
        """Make results without a run."""
        return {client.name: Results() for client in self.clients}

    def write(self, folder: Path) -> None:
        """Write `browser.json` and `browser.md`."""
        write_json(self._describe(), folder / "browser.json")
        (folder / "browser.md").write_text(self.markdown())

    def markdown(self) -> str:
        """Write all tables."""
        parts = [size_table(self.sizes)]
        parts += [f"{title}:\n\n{cost_table(results)}" for title, results in self.loads.items()]
        if self.faults:
            rows = [
                [case.title, *(fault_cell(one, case.show) for one in results.values())]
                for case, results in self.faults.items()
            ]
            parts.append(markdown(["fault", *(client.name for client in self.clients)], rows))
            parts.append("\n".join(f"- {case.title}: {case.about}" for case in self.faults))
        return "\n\n".join(parts) + "\n"

    def our_failures(self) -> list[str]:
        """Return the failures, losses and repeats of streamd-client."""
        found = []
        for results in (*self.loads.values(), *self.faults.values()):
            for client in self.clients:
                if client.package == "streamd-client":
                    name = client.name
                    found += [f"{name}: {failure}" for failure in results[name].failures]
                    lost = [run for run in results[name].runs if run.get("missing") or run.get("repeated")]
                    found += [f"{name} lost or repeated events: {dict(run)}" for run in lost]
        return found

    def _describe(self) -> dict[str, Any]:
        return {
            "machine": {**describe_machine(), "chromium": self.chromium},
            "versions": {client.name: client.version() for client in self.clients},
            "sizes": {name: attrs.asdict(size) for name, size in self.sizes.items()},
            "loads": {title: _describe_all(results) for title, results in self.loads.items()},
            "faults": {case.title: _describe_all(results) for case, results in self.faults.items()},
        }


def _describe_all(results: ByClient) -> dict[str, Any]:
    return {name: describe(one) for name, one in results.items()}
