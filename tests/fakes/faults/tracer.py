"""System calls of a process of our own, counted, and one of them failing or deadly: `strace -e inject`, one call at a
time.

strace counts per thread and injects in whichever thread gets there; this names the thread too, so that each call of an
update can be hit alone. By ptrace, on x86-64; any user may trace a child.
"""

import ctypes
import errno
import os
import signal
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TRACEME, _POKEUSER, _CONT, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 6, 7, 24, 0x4200, 0x420E
#: Tell system calls from signals, follow threads, and let nothing outlive the tracer.
_OPTIONS = 0x1 | 0x8 | 0x100000
_ORIG_RAX, _RAX = 15 * 8, 10 * 8
_ENTRY, _EXIT = 1, 2
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_WALL = 0x40000000
_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True, order=True, slots=True)
class Point:
    """The `count`th call, from 1 on, of system call `number` in the `thread`th thread, from 0 on, of a process."""

    thread: int
    number: int
    count: int

    def __str__(self) -> str:
        return f"{syscall_name(self.number)}:when={self.count} in thread {self.thread}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point: SIGKILL when `error` is None, or the call is not made and gives `error`."""

    name: str
    error: int | None


KILL = Fault("SIGKILL", None)
EIO = Fault("EIO", errno.EIO)
ENOSPC = Fault("ENOSPC", errno.ENOSPC)


@dataclass(frozen=True)
class Traced:
    """How a traced process went: its `points`, whether the fault was `hit`, and its wait `status`."""

    points: tuple[Point, ...]
    hit: bool
    status: int


def trace(run: Callable[[], None], point: Point | None = None, fault: Fault = KILL) -> Traced:
    """Forks; the child runs `run` and ends, with `fault` at `point`. Call it in a process of one thread."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            die_with_parent()
            # The tracer's own handler is not for its child: what is stuck must end of it.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            _libc.ptrace(_TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            run()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001, this is a process of its own
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return _Tracer(child, point, fault).follow()


def die_with_parent() -> None:
    """Nobody would wake a process that stopped itself to be traced, once its tracer is gone."""
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)


class _Tracer:
    def __init__(self, child: int, point: Point | None, fault: Fault) -> None:
        self._child = child
        self._point = point
        self._fault = fault
        self._threads: dict[int, int] = {}
        self._calls: Counter[tuple[int, int]] = Counter()
        self._points: list[Point] = []
        self._failing: int | None = None
        self._hit = False

    def follow(self) -> Traced:
        os.waitpid(self._child, os.WUNTRACED)
        self._threads[self._child] = 0
        _ptrace(_SETOPTIONS, self._child, 0, _OPTIONS)
        self._go_on(self._child, 0)
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == self._child:
                return Traced(tuple(self._points), self._hit, status)

    def _stopped(self, thread: int, status: int) -> None:
        if thread not in self._threads:
            self._threads[thread] = len(self._threads)
        deliver = 0
        caught = os.WSTOPSIG(status)
        if caught == _SYSCALL_STOP:
            self._syscall(thread)
        elif status >> 16 == 0 and caught != signal.SIGSTOP:
            # A thread's first stop and a thread's birth are the tracer's own; all else is the process's.
            deliver = caught
        self._go_on(thread, deliver)

    def _syscall(self, thread: int) -> None:
        info = ctypes.create_string_buffer(88)
        if _libc.ptrace(_GET_SYSCALL_INFO, thread, 88, ctypes.addressof(info)) < 0:
            # It was killed meanwhile.
            return
        kind, number = struct.unpack_from("<B23xQ", info)
        if kind == _ENTRY and not self._hit:
            place = self._threads[thread], number
            self._calls[place] += 1
            point = Point(*place, self._calls[place])
            self._points.append(point)
            if point == self._point:
                self._strike(thread)
        elif kind == _EXIT and thread == self._failing:
            self._failing = None
            assert self._fault.error is not None
            _ptrace(_POKEUSER, thread, _RAX, -self._fault.error)

    def _strike(self, thread: int) -> None:
        self._hit = True
        if self._fault.error is None:
            os.kill(self._child, signal.SIGKILL)
        else:
            # No system call has this number: the kernel does nothing.
            _ptrace(_POKEUSER, thread, _ORIG_RAX, -1)
            self._failing = thread

    def _go_on(self, thread: int, deliver: int) -> None:
        # Once the fault is done, there is nothing more to see.
        over = self._hit and self._failing != thread
        # A process that was killed does not go on, and that is no error.
        _libc.ptrace(_CONT if over else _SYSCALL, thread, 0, deliver)


def _ptrace(request: int, thread: int, address: int, data: int) -> None:
    if _libc.ptrace(request, thread, address, data) < 0:
        number = ctypes.get_errno()
        if number != errno.ESRCH:
            raise OSError(number, f"ptrace: {os.strerror(number)}")


@cache
def _names() -> dict[int, str]:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        return {}
    words = [line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_")]
    return {int(number): name.removeprefix("__NR_") for _, name, number in words}


def syscall_name(number: int) -> str:
    """The name of a system call, or its number where the kernel's headers are not installed."""
    return _names().get(number, f"call {number}")
