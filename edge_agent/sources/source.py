"""What a source is: rows for a model, at its own pace."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from edge_agent.runtimes.session import Array
from fleet_contract.manifest import Manifest


class Source(Protocol):
    """Feeds one model."""

    model: str
    """Whose inputs it gives."""
    rate_per_second: float
    """How many records it gives a second, at most."""

    def records(self, manifest: Manifest) -> Iterator[Mapping[str, Array]]:
        """Endless records for the model that `manifest` describes: input name to an array of one row.

        Raises `SourceWrong`, at once and not at the first record, when it has nothing that this model can take.
        """
