"""What the client's tests share: a fake hub, and documents as a hub gives them."""

from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub, fake_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A fake hub, which is also the one that VEDETTE_HUB names."""
    with fake_hub() as fake:
        monkeypatch.setenv("VEDETTE_HUB", fake.url)
        monkeypatch.delenv("VEDETTE_API_TOKEN", raising=False)
        yield fake
