"""An admission that believes what it is told to."""

from dataclasses import dataclass, field
from pathlib import Path

from cloud_hub.compiles.admission import Evidence
from cloud_hub.errors import Invalid
from fleet_contract.manifest import Manifest


@dataclass
class FakeAdmission:
    """The port `Admission`: admits all, with what it saw of the files in `seen`, or raises `refusal`."""

    refusal: Invalid | None = None
    seen: list[tuple[Manifest, bytes, bytes]] = field(default_factory=list)

    def check(self, artifact: Path, manifest: Manifest, golden: Path) -> Evidence:
        self.seen.append((manifest, artifact.read_bytes(), golden.read_bytes()))
        if self.refusal is not None:
            raise self.refusal
        return Evidence(0.98, 0.01)
