"""What is known of a record that is captured."""

import msgspec

#: Where a capture's file has it, as JSON.
MEMBER = "about.json"


class About(msgspec.Struct, frozen=True):
    """Answered `at_ms` (Unix time) by `version` of `model`, whose artifact has `digest`; `reason` is why it is kept.

    The rest is as in `fleet_contract.telemetry.Sample`, which tells the hub of it.
    """

    at_ms: int
    model: str
    version: int
    digest: str
    reason: str
    label: str = ""
    confidence: float = 0.0
    margin: float = 0.0
    beside: str = ""
    beside_version: int = 0
