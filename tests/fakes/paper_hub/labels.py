"""Late labels on paper: counted once for each key."""

from dataclasses import dataclass, field

from cloud_hub.errors import NotFound
from cloud_hub.monitoring.views import LabelsIn, LabelsView


@dataclass
class FakeLabels:
    """`taken` is what was counted: of which model, what, and by whom."""

    taken: list[tuple[str, LabelsIn, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def take(self, model: str, said: LabelsIn, key: str, by: str) -> LabelsView:
        for row in said.rows:
            if row.device == "nobody":
                raise NotFound("There is no device 'nobody'.", "`vedette devices list` shows all.")
        if key in self.keys:
            return LabelsView(counted=0, repeated=len(said.rows))
        self.keys.add(key)
        self.taken.append((model, said, by))
        return LabelsView(counted=len(said.rows), repeated=0)
