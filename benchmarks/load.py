"""Has a server answer as fast as it can, asked by a compiled load generator: what is measured is the server.

`h2load` of nghttp2 speaks HTTP/1.1 and, for gRPC, HTTP/2, over TCP and Unix sockets, and costs a few microseconds of
one core for each request. A client in Python costs as much as a server that is worth measuring.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_WARM_UP_SECONDS = 0.2
#: What it gets at most beyond the time that it was told to ask for.
_GRACE_SECONDS = 60.0
_DONE = re.compile(r"requests: (\d+) total, .* (\d+) succeeded, 0 failed, 0 errored, 0 timeout")
_STATUS = re.compile(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx")
_DATA = re.compile(r"headers .* \((\d+)\) data")


class LoadFailed(AssertionError):
    """What was counted is no rate of right answers."""


@dataclass(frozen=True)
class Request:
    """What is sent again and again. `body` is a file; `answer_bytes` is the length of the body of a right answer.

    `socket` is the Unix socket to send it through, "" for the TCP address in `url`; `http` is 1 or 2.
    """

    url: str
    http: int
    headers: dict[str, str]
    body: str
    answer_bytes: int
    socket: str = ""


def program() -> Path:
    """Where `h2load` is. Exits with what to install where it is not."""
    found = shutil.which("h2load")
    if found is None:
        sys.exit("This benchmark needs h2load: run 'sudo apt-get install nghttp2-client' first.")
    return Path(found)


def rate(request: Request, connections: int, seconds: float) -> float:
    """Answers a second to `connections` which each send `request` again as soon as it is answered.

    Raises `LoadFailed` when one answer was an error or of another length, or there was none.
    """
    command = [str(program()), "--h1" if request.http == 1 else "--no-tls-proto=h2c"]
    command += [f"--clients={connections}", "--threads=1", "--max-concurrent-streams=1", f"--data={request.body}"]
    command += [f"--header={name}: {value}" for name, value in request.headers.items()]
    command += [f"--duration={round(seconds * 1000)}ms", f"--warm-up-time={round(_WARM_UP_SECONDS * 1000)}ms"]
    command += [f"--base-uri=unix:{request.socket}"] if request.socket else []
    try:
        # It ends by itself, with what was answered until then, also where the server hangs.
        done = subprocess.run(
            [*command, request.url], capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"h2load was to end after {seconds} s, and did not in {error.timeout} s.") from error
    return counted(done.stdout, request.answer_bytes) / seconds


def counted(output: str, answer_bytes: int) -> int:
    """How many right answers h2load tells of. Raises `LoadFailed` unless all were."""
    done, status, data = _DONE.search(output), _STATUS.search(output), _DATA.search(output)
    if done is None or status is None or data is None or done[1] != done[2]:
        raise LoadFailed(f"h2load was not answered each time: {output[-1500:]}")
    # The bytes of the time before are among them. A call over gRPC that fails has status 200, and no body.
    answers, rest = divmod(int(data[1]), answer_bytes)
    if rest or answers < int(done[1]):
        raise LoadFailed(f"{done[1]} answers of {answer_bytes} bytes each came to {data[1]} bytes.")
    if done[1] == "0":
        raise LoadFailed("Not one request was answered.")
    return int(done[1])
