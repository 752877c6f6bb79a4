"""The reason that every state carries, as REST shows it."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from fleet_contract.because import Because


class BecauseView(BaseModel):
    """`code` is stable and for programs; `sentence` is for people and has the numbers in it."""

    model_config = ConfigDict(frozen=True)

    code: str
    sentence: str

    @classmethod
    def of(cls, because: Because) -> Self:
        return cls(code=because.code, sentence=because.sentence)

    @classmethod
    def stored(cls, because: Mapping[str, Any] | None) -> Self | None:
        """From the JSON that a table holds."""
        return None if because is None else cls(code=because["code"], sentence=because["sentence"])
