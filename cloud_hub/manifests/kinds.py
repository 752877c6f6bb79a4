"""The kinds of manifest: what each may hold, and the JSON Schema that says so."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import GenerateJsonSchema

from cloud_hub.rollouts.policy import Expression, Policy
from cloud_hub.rollouts.views import RolloutIn

API_VERSION: Literal["vedette/v1"] = "vedette/v1"

#: A manifest's own name: stable over its versions, and what `apply` finds it by.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metadata(_Part):
    """`name`: 1 to 63 lower-case letters, digits, dots and hyphens; it stays when the spec changes."""

    name: Name


class RolloutSpec(Policy):
    """What to roll out, and the policy of it."""

    model: str = Field(description="The model's name in the hub")
    version: int = Field(ge=1, le=2**31 - 1, description="The version to roll out")
    slot: Literal["default", "shadow"] = Field(
        default="default", description="shadow: beside the version that answers, on the same inputs, answering nobody"
    )

    @classmethod
    def of(cls, wanted: RolloutIn) -> "RolloutSpec":
        own = {"model": wanted.model, "version": wanted.version, "slot": wanted.slot}
        return cls.model_validate(own | wanted.policy.model_dump())

    def wanted(self) -> RolloutIn:
        """The same, as a rollout is asked for."""
        own = {"model", "version", "slot"}
        policy = Policy.model_validate(self.model_dump(exclude=own))
        return RolloutIn(model=self.model, version=self.version, slot=self.slot, policy=policy)


class RolloutManifest(_Part):
    """A rollout as it should be. Applied again unchanged, it changes nothing; with another spec, it starts a rollout
    that takes over from the one before."""

    apiVersion: Literal["vedette/v1"] = Field(description="Always vedette/v1")  # noqa: N815  (its name in the YAML)
    kind: Literal["Rollout"] = Field(description="Always Rollout")
    metadata: Metadata
    spec: RolloutSpec


class CohortSpec(_Part):
    """What the cohort means."""

    selector: Expression = Field(description="Which devices; another cohort is cohort:NAME")


class CohortManifest(_Part):
    """A saved selector, to be referred to as cohort:NAME. With another spec it is replaced; rollouts that exist keep
    what it said when they were created."""

    apiVersion: Literal["vedette/v1"] = Field(description="Always vedette/v1")  # noqa: N815  (its name in the YAML)
    kind: Literal["Cohort"] = Field(description="Always Cohort")
    metadata: Metadata
    spec: CohortSpec


Manifest = RolloutManifest | CohortManifest
#: By `kind`, in the order in which they are applied: a rollout may refer to a cohort.
KINDS: dict[str, type[Manifest]] = {"Cohort": CohortManifest, "Rollout": RolloutManifest}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of manifests of `kind`."""
    made = KINDS[kind].model_json_schema(mode="validation")
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:vedette:schema:{kind.lower()}:v1"} | made
