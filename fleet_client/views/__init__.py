"""What the hub shows over REST, as frozen structs. Fields that a newer hub adds are ignored."""

from fleet_client.views.devices import Device, DeviceEvent, DeviceModel, Retry, SavedCohort, Token
from fleet_client.views.evidence import Cohort, Evidence, Gate, GateReadings, Reading
from fleet_client.views.health import BrokerAddress, Health, Refusal
from fleet_client.views.holds import Freeze, Pin
from fleet_client.views.lake import Column, LakeTable, Rows
from fleet_client.views.models import Artifact, Labelled, Labels, Model, Version
from fleet_client.views.paging import Page
from fleet_client.views.rollouts import (
    ENDED,
    Condition,
    Counts,
    Decision,
    Explanation,
    Failure,
    Hold,
    ManifestVersion,
    Preview,
    PreviewWave,
    Rollout,
    Wave,
)
from fleet_client.views.runs import Ran

__all__ = [
    "ENDED",
    "Artifact",
    "BrokerAddress",
    "Cohort",
    "Column",
    "Condition",
    "Counts",
    "Decision",
    "Device",
    "DeviceEvent",
    "DeviceModel",
    "Evidence",
    "Explanation",
    "Failure",
    "Freeze",
    "Gate",
    "GateReadings",
    "Health",
    "Hold",
    "Labelled",
    "Labels",
    "LakeTable",
    "ManifestVersion",
    "Model",
    "Page",
    "Pin",
    "Preview",
    "PreviewWave",
    "Ran",
    "Reading",
    "Refusal",
    "Retry",
    "Rollout",
    "Rows",
    "SavedCohort",
    "Token",
    "Version",
    "Wave",
]
