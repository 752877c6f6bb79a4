"""The reason that every state carries: a stable code and a sentence with the numbers in it."""

import msgspec


class Because(msgspec.Struct, frozen=True):
    """Why something is as it is.

    `code` is stable, lower case with hyphens, and is what programs match on; `sentence` is what a person
    reads, and names the numbers that the decision rested on.
    """

    code: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}]"
