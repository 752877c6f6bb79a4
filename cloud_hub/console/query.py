"""What the address of a list asks for. Empty fields of a form are as good as none, and what cannot be is left out."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from cloud_hub.page import PageRequest


@dataclass(frozen=True)
class Query:
    """The parameters of one request. `seen` is how many rows the pages before this one held."""

    request: Request

    def text(self, name: str) -> str | None:
        return self.request.query_params.get(name, "").strip() or None

    def number(self, name: str) -> int | None:
        """A whole number that is not negative and fits a database."""
        text = self.text(name)
        return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None

    @property
    def seen(self) -> int:
        return (self.number("seen") or 0) if self.text("cursor") else 0

    def labels(self) -> Mapping[str, str]:
        """`?label=a=b,c=d&label=e=f`, as far as they are pairs."""
        asked = ",".join(self.request.query_params.getlist("label")).split(",")
        pairs = (one.partition("=") for one in asked)
        return {key.strip(): value.strip() for key, sign, value in pairs if sign and key.strip()}

    def page(self, limit: int = 50) -> PageRequest:
        return PageRequest(limit=limit, cursor=self.text("cursor"), sort=self.text("sort"))
