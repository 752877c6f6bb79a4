"""The Python SDK and the `vedette` command line. Speaks to a hub over its REST API, and knows nothing of its inside.

from fleet_client import Client

with Client("http://127.0.0.1:8420") as hub:
    for device in hub.devices.all(labels={"site": "lyon"}):
        print(device.id, device.presence)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleet_client.client import Client

__all__ = ["Client", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The command line imports this package on every start, and `--help` needs no HTTP.
    if name == "Client":
        from fleet_client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
