"""`python -m cloud_hub`: runs the hub."""

import argparse
import logging
import os
import socket
import sys
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from cloud_hub.folder import DataFolder, Whereabouts
from cloud_hub.ports import free_port, listen
from cloud_hub.settings import Settings
from fleet_contract.errors import VedetteError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vedette hub", description="Runs the hub. Each flag may also be set in the environment, as VEDETTE_FLAG."
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="the data folder (default: vedette-data)")
    add("--fleet", metavar="NAME", help="the fleet's name (default: default)")
    add("--host", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    add("--port", type=int, metavar="N", help="HTTP port, 0 for any free one (default: 8420)")
    add("--mqtt-port", type=int, metavar="N", help="port of the embedded broker, 0 for any (default: 8421)")
    add("--public-url", metavar="URL", help="how devices and browsers reach the hub, if not at http://HOST:PORT")
    add("--database-url", metavar="URL", help="postgresql://... (default: SQLite in the data folder)")
    add("--blobs-url", metavar="URL", help="s3://BUCKET/PREFIX or a folder (default: in the data folder)")
    add("--lake-url", metavar="URL", help="s3://BUCKET/PREFIX or a folder (default: in the data folder)")
    add("--s3-endpoint-url", metavar="URL", help="for S3 that is not AWS's")
    add("--broker-url", metavar="URL", help="mqtt://HOST:PORT of an MQTT 5 broker (default: the embedded one)")
    add("--audit-days", type=int, metavar="N", help="how long it is kept who wrote what (default: 365)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the hub until it is told to stop. The exit code: 0, or 1 when it could not start."""
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        _run(Settings(**given))
    except VedetteError as error:
        print(f"vedette hub: {error}", file=sys.stderr)  # noqa: T201 for a person at a terminal
        return 1
    except ValidationError as error:
        for fault in error.errors():
            name = "--" + ".".join(str(part) for part in fault["loc"]).replace("_", "-")
            print(f"vedette hub: {name}: {fault['msg']}.", file=sys.stderr)  # noqa: T201 for a person at a terminal
        return 1
    return 0


def _run(settings: Settings) -> None:
    # Only now: a wrong flag should be said at once, and these take a second to import.
    from cloud_hub.app import build
    from cloud_hub.serving import serve

    with closing(DataFolder(settings.data)) as folder:
        last = folder.last_seen()
        with listen(settings.host, settings.port, "--port", remembered=_port(last.url if last else None)) as listening:
            url = settings.public_url or _url(settings.host, listening.getsockname()[1])
            mqtt_port = free_port("127.0.0.1", settings.mqtt_port, remembered=_port(last.broker if last else None))
            hub = build(settings, folder, url.rstrip("/"), mqtt_port)
            broker = f"mqtt://{hub.broker.host}:{hub.broker.port}"

            def ready() -> None:
                folder.write_whereabouts(Whereabouts(url, broker, os.getpid()))
                print(f"Vedette hub ready: {url} (MQTT {broker}, data {folder.path})", flush=True)  # noqa: T201 as above

            with hub.running():
                serve(hub, listening, ready)


def _url(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 compared, not bound
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port(url: str | None) -> int | None:
    digits = (url or "").rpartition(":")[2]
    return int(digits) if digits.isdecimal() else None


if __name__ == "__main__":
    sys.exit(main())
