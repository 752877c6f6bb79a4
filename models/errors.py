"""What can go wrong while a model is built, compiled or checked: whose fault it is, and what to do next."""

from fleet_contract.errors import VedetteError


class ToolchainError(VedetteError):
    """A build or check that cannot go on."""

    code = "toolchain-failed"


class ToolMissing(ToolchainError):
    """A Python package that this step needs is not installed."""

    code = "tool-missing"


class RecipeUnknown(ToolchainError):
    """No folder of that name in the catalogue."""

    code = "recipe-unknown"


class RecipeWrong(ToolchainError):
    """A folder in the catalogue that is not a recipe, or asks for what it does not have."""

    code = "recipe-wrong"


class TargetUnknown(ToolchainError):
    """No compile profile of that name."""

    code = "target-unknown"


class OverBudget(ToolchainError):
    """Every way to compile the source loses more than the recipe's budget allows."""

    code = "over-budget"


class FolderTaken(ToolchainError):
    """The output folder holds something else, or cannot be written."""

    code = "folder-taken"


class ArtifactUnfit(ToolchainError):
    """An artifact, manifest or golden set that does not pass admission; `code` says which of the ways."""

    code = "artifact-unfit"
