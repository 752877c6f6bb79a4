"""What is left alone: the freeze and pins."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloud_hub.revisions import AsSeen, check_seen
from cloud_hub.rollouts.views import FreezeIn, FreezeView, PinIn, PinView


@dataclass
class FakeFreeze:
    lasts: FreezeView = field(default_factory=lambda: FreezeView(frozen=False, revision=0))

    def show(self) -> FreezeView:
        return self.lasts

    def begin(self, asked: FreezeIn, by: str = "operator") -> FreezeView:
        self.lasts = FreezeView(
            frozen=True,
            revision=self.lasts.revision + 1,
            reason=asked.reason,
            by=by,
            since=datetime(2026, 11, 2, 12, tzinfo=UTC),
            until=asked.until,
        )
        return self.lasts

    def end(self, by: str = "operator", seen: AsSeen = None) -> FreezeView:
        check_seen("The freeze", self.lasts.revision, seen)
        self.lasts = FreezeView(frozen=False, revision=self.lasts.revision + 1)
        return self.lasts


@dataclass
class FakePins:
    pinned: list[PinView] = field(default_factory=list)

    def list(self, device: str | None = None) -> list[PinView]:
        return [one for one in self.pinned if device in (None, one.device)]

    def pin(self, asked: PinIn, by: str = "operator") -> PinView:
        made = PinView(
            **asked.model_dump(), id="pin-1", by=by, since=datetime(2026, 11, 2, tzinfo=UTC), ended_at=None, revision=1
        )
        self.pinned.append(made)
        return made

    def unpin(self, pin: str, by: str = "operator") -> PinView:
        found = next(one for one in self.pinned if one.id == pin)
        self.pinned.remove(found)
        return found
