"""The embedded broker's own process: `python -m cloud_hub.broker.child CONFIG`. It ends when its hub does."""

import logging
import os
import sys
import threading

from iotcore import IotCoreBroker


def _end_with_the_hub() -> None:
    # The hub holds the other end of this pipe, and the kernel closes it however the hub ends, SIGKILL included.
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serves until the hub is gone."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s broker: %(message)s")
    # rumqttd logs every packet that it routes as if it were an error.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_the_hub, daemon=True).start()
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


if __name__ == "__main__":
    main()
