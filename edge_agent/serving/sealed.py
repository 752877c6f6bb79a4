"""Memory that the agent makes for a client, and that nobody can make shorter: a model may read it where it lies.

Shared memory of a client's own may be shortened while a model reads it, which would end the process. The kernel's seals
keep the size of this as it is for as long as anybody has it.
"""

import ctypes
import errno
import fcntl
import mmap
import os

from edge_agent.serving.port import InputWrong, Overloaded

#: `mmap` populates and advises with the interpreter's lock held, for 30 ms of 64 MiB on a fast machine, and each thread
#: of the agent would wait for that. Calls of a library give it up.
_LIBC = ctypes.CDLL(None, use_errno=True)
_MADV_REMOVE = 9
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
#: There is no more of it now.
_SHORT = frozenset({errno.ENOMEM, errno.ENOSPC, errno.EMFILE, errno.ENFILE})


class Sealed:
    """So many bytes, all 0 and all there, of the file `descriptor`; `memory` is where the agent sees them, for as long
    as it likes. Whoever has handed the file over closes it."""

    __slots__ = ("_address", "_map", "descriptor", "memory")

    def __init__(self, size_bytes: int) -> None:
        """Raises `InputWrong` where the system cannot make such memory, and `Overloaded` where it has no more."""
        descriptor = -1
        try:
            self.descriptor = descriptor = os.memfd_create("vedette", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            # Now, or the lack of it would end whoever writes there first.
            os.posix_fallocate(self.descriptor, 0, size_bytes)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._map = mmap.mmap(self.descriptor, size_bytes, mmap.MAP_SHARED)
        except (AttributeError, OSError) as error:
            if descriptor >= 0:
                os.close(descriptor)
            what = f"This device cannot make {size_bytes} bytes of sealed memory: {error}."
            if isinstance(error, OSError) and error.errno in _SHORT:
                raise Overloaded(what, "Ask for less, or again later.", retry_after_seconds=10) from error
            raise InputWrong(what, "Register shared memory of your own instead.") from error
        self.memory = memoryview(self._map)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        # It holds 0 already: each page is touched, so that no request has to wait for the kernel to map it.
        ctypes.memset(self._address, 0, size_bytes)

    def close(self) -> None:
        """Gives the pages back, whoever has them mapped. Who still reads there finds 0."""
        if _LIBC.madvise(ctypes.c_void_p(self._address), ctypes.c_size_t(len(self.memory)), _MADV_REMOVE):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
