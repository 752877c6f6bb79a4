"""The policy to simulate, from a file."""

import json
from pathlib import Path

from pydantic import ValidationError

from cloud_hub.errors import Invalid
from cloud_hub.rollouts.policy import Policy


def read_policy(path: Path) -> Policy:
    """The policy in the JSON file at `path`. Raises `Invalid`."""
    try:
        return Policy.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise Invalid(f"Cannot read the policy {path}: {error.strerror}.", code="policy-unreadable") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        raise Invalid(f"{path} is not a policy: {faults}.", code="policy-wrong") from error
    except ValueError as error:
        raise Invalid(f"{path} is not JSON: {error}.", code="policy-wrong") from error
