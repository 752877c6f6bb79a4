"""Models and versions that exist only on paper."""

import random
from dataclasses import dataclass, field

from cloud_hub.errors import NotFound
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases.views import ModelView, VersionView
from tests.fakes.paper_hub.views import page_of

LABELS = [str(digit) for digit in range(10)]
EDGES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
KEY = "5f0c" * 16


def digest(model: str, version: int) -> str:
    return f"sha256:{random.Random(f'{model}{version}').randbytes(32).hex()}"


@dataclass
class FakeReleases:
    versions_of: dict[str, list[VersionView]] = field(default_factory=dict)

    def models(self, request: PageRequest) -> Page[ModelView]:
        return page_of([self.model(name) for name in sorted(self.versions_of)], request)

    def model(self, name: str) -> ModelView:
        if name not in self.versions_of:
            raise NotFound(f"There is no model {name!r}.", "`vedette models list` shows all.", code="model-unknown")
        versions = self.versions_of[name]
        return ModelView(
            name=name,
            created_at=versions[0].created_at,
            newest_version=versions[-1].version,
            versions=len(versions),
            task=versions[-1].task,
            targets=[artifact.target for artifact in versions[-1].artifacts],
        )

    def versions(self, model: str, request: PageRequest) -> Page[VersionView]:
        self.model(model)
        return page_of(self.versions_of[model][::-1], request)

    def version(self, model: str, version: int) -> VersionView:
        return next(one for one in self.versions_of[model] if one.version == version)
