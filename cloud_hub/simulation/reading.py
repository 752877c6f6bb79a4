"""The policy to simulate, from a file."""

from pathlib import Path

from cloud_hub.errors import Invalid
from cloud_hub.manifests import reading
from cloud_hub.rollouts.policy import Policy


def read_policy(path: Path) -> Policy:
    """The policy in the file at `path`: a rollout's manifest, or a policy alone, in YAML or JSON. Raises `Invalid`, and
    `Faulty` with all that is wrong."""
    try:
        return reading.read_policy(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Invalid(
            f"Cannot read the policy {path}: {error.strerror}.", "Name a file that is there.", code="policy-unreadable"
        ) from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text: {error}.", "Save it as YAML in UTF-8.", code="policy-unreadable") from error
