"""Builds the console's assets when the wheel or the editable install is made."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleAssets(BuildHookInterface[Any]):
    """Runs `cloud_hub/console/build.py`, by its path: the package's dependencies need not be there."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        if self.target_name != "wheel":
            return
        folder = Path(self.root, "cloud_hub", "console")
        spec = importlib.util.spec_from_file_location("console_build", folder / "build.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(folder / "build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            module.build(folder)
        except module.BuildFailed as error:
            raise SystemExit(f"error: {error}") from None
