"""Runs in an environment of its own: the protocol's OpenAPI, as MLServer ships it, against the agent by schemathesis.

Arguments: base URL, seconds. Prints schemathesis' report and ends with its exit code.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance,unsupported_method"
#: What there is to find, so that requests get past the first look, and what there is not.
NAMES = {
    "model_name": ["images", "texts", "all", "none"],
    "model_version": ["1", "2"],
}
INPUTS = ["image", "text", "FP32", "none"]


def openapi() -> dict[str, Any]:
    """The protocol's own document, less MLServer's additions, and with tensor data that schemathesis can make up."""
    path = distribution("mlserver").locate_file("mlserver/rest/openapi/dataplane.json")
    document: dict[str, Any] = json.loads(Path(str(path)).read_text())
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if "generate" not in path and "stream" not in path
    }
    for operations in document["paths"].values():
        for parameter in operations.get("parameters", ()):
            parameter["schema"]["enum"] = NAMES[parameter["name"]]
    schemas = document["components"]["schemas"]
    scalar = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "integer"}]}
    nested = {"anyOf": [scalar, {"type": "array", "items": scalar}]}
    schemas["TensorData"] = {"type": "array", "items": nested}
    request = schemas["RequestInput"]["properties"]
    request["name"]["enum"] = INPUTS
    request["shape"]["items"] = {"type": "integer", "minimum": -2, "maximum": 5}
    return document


def main(url: str, seconds: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "openapi.json"
        path.write_text(json.dumps(openapi()))
        command = ["schemathesis", "run", str(path), "--url", url, "--checks", CHECKS, "--max-time", seconds]
        options = ["--seed", "1", "--continue-on-failure", "--warnings", "off", "--no-color"]
        program = Path(sys.executable).parent / command[0]
        return subprocess.run([program, *command[1:], *options], check=False, cwd=name).returncode


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
