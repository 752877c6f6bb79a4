"""A gateway with a systemd of its own, booted in a container (systemd-nspawn) from this machine's /usr.

The agent is installed as on a gateway: under /opt/vedette, with the unit and the user of `provisioning/systemd`. The
network is this machine's.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from contextlib import suppress
from pathlib import Path

from tests.fakes.waiting import until

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "provisioning" / "systemd"
SERVICE = "vedette-agent.service"
_TARGET = "[Unit]\nDescription=Ready\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"
_ENTRY = "#!/opt/vedette/bin/python\nimport sys\nfrom edge_agent.__main__ import main\nsys.exit(main())\n"
# What a Python that is not Debian's links with lies beside it, and not where Debian's lies.
_LIBRARIES = "/opt/python/lib"


class Gateway:
    """Built in `folder` and booted. Paths of its files are given as the gateway sees them."""

    def __init__(self, folder: Path, name: str) -> None:
        for program in ("systemd-nspawn", "nsenter"):
            assert shutil.which(program), f"{program} is missing: run `make test-live` as root"
        self.root = folder / "root"
        self._name = name
        self._log = folder / "console"
        self._build()
        command = [
            *("systemd-nspawn", f"--directory={self.root}", f"--machine={name}", "--boot", "--quiet"),
            *("--register=no", "--keep-unit", "--console=read-only", "--resolv-conf=off", "--link-journal=no"),
            *("--bind-ro=/usr", f"--bind-ro={ROOT}:/opt/source", f"--bind-ro={sys.base_prefix}:/opt/python"),
            f"--bind-ro={sysconfig.get_path('purelib')}:/opt/packages",
            "systemd.unit=ready.target",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._leader = 0
        until(self._booted, 240)

    def _build(self) -> None:
        for name in ("etc/systemd/system", "usr", "var/lib", "run", "tmp", "proc", "sys", "dev", "root", "home", "opt"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if (Path("/usr") / name).exists():
                (self.root / name).symlink_to(f"usr/{name}")
        self.write("/etc/machine-id", os.urandom(16).hex() + "\n")
        self.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
        self.write("/etc/group", "root:x:0:\nnobody:x:65534:\n")
        self.write("/etc/os-release", Path("/etc/os-release").read_text())
        self.write("/etc/systemd/system/ready.target", _TARGET)
        # An older journal and a log in on the console would only take time.
        for unit in ("systemd-journal-flush", "console-getty", "systemd-update-utmp"):
            (self.root / "etc" / "systemd" / "system" / f"{unit}.service").symlink_to("/dev/null")
        self.write(f"/etc/systemd/system/{SERVICE}", (PROVISIONING / SERVICE).read_text())
        environment = f"[Service]\nEnvironment=LD_LIBRARY_PATH={_LIBRARIES}\n"
        self.write(f"/etc/systemd/system/{SERVICE}.d/python.conf", environment)
        self.write("/etc/sysusers.d/vedette.conf", (PROVISIONING / "vedette.sysusers.conf").read_text())
        venv.create(self.root / "opt" / "vedette", with_pip=False, symlinks=True)
        # This machine's Python may be in a home folder, which the unit's sandbox hides: the gateway has its own place.
        home = self.root / "opt" / "vedette"
        version = f"python3.{sys.version_info.minor}"
        for name in ("python", "python3", version):
            (home / "bin" / name).unlink(missing_ok=True)
            (home / "bin" / name).symlink_to(f"/opt/python/bin/{version}")
        (home / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
        (packages,) = (home / "lib").glob("python3*/site-packages")
        (packages / "vedette.pth").write_text("/opt/source\n/opt/packages\n")
        entry = self.root / "opt" / "vedette" / "bin" / "vedette-agent"
        entry.write_text(_ENTRY)
        entry.chmod(0o755)

    def _booted(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            # Some live for a moment only.
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._leader = int(child)
        return bool(self._leader) and self.run("systemctl", "is-active", "ready.target", check=False) == "active"

    def write(self, path: str, text: str) -> None:
        """Writes a file, and the folders that it lies in."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, *command: str, check: bool = True, user: str = "") -> str:
        """Runs a command on the gateway; what it says on both channels, without the last line's end."""
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run(
            [*enter, *as_user, *command],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LD_LIBRARY_PATH": _LIBRARIES,
                "SYSTEMD_PAGER": "",
                "SYSTEMD_COLORS": "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=240,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout.rstrip("\n")

    def show(self, name: str) -> str:
        """A property of the agent's service."""
        return self.run("systemctl", "show", "--property", name, "--value", SERVICE)

    def journal(self) -> str:
        """All that the agent has said since the gateway was booted."""
        return self.run("journalctl", "--unit", SERVICE, "--output", "cat", "--no-pager", check=False)

    def stop(self) -> None:
        """Ends the gateway, at once."""
        if self._leader:
            # What systemd takes for the power button would wait for the agent.
            subprocess.run(["kill", "-KILL", str(self._leader)], check=False)
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
