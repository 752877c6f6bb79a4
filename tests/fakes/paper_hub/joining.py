"""Join tokens on paper: one for each request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cloud_hub.access.once import RequestKey
from cloud_hub.access.views import TokenView

EXPIRES_FROM = datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC)


@dataclass
class FakeJoining:
    """`made` is what each was asked to be for, in the order of the tokens' numbers."""

    made: list[tuple[str | None, str | None, dict[str, str], int]] = field(default_factory=list)
    by_key: dict[str, TokenView] = field(default_factory=dict)

    def make_token(
        self,
        device: str | None,
        target: str | None,
        labels: Mapping[str, str],
        expires_in_seconds: int,
        request: RequestKey | None = None,
    ) -> TokenView:
        if request is not None and (known := self.by_key.get(request.key)):
            return known
        self.made.append((device, target, dict(labels), expires_in_seconds))
        token = f"vedette1.{'aHR0cDovLzEyNy4wLjAuMTo4NDIw' * 6}.secret-{len(self.made)}"
        view = TokenView(token=token, device=device, expires_at=EXPIRES_FROM + timedelta(seconds=expires_in_seconds))
        if request is not None:
            self.by_key[request.key] = view
        return view
