"""What all tests share."""

import os
import signal

from hypothesis import settings

# A shell that starts the run in its background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Read when gRPC is imported: with it on, each process that a test starts later costs its parent open files.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# How long an example takes says more of what else the machine does than of the code: benchmarks measure.
settings.register_profile("vedette", deadline=None)
settings.load_profile("vedette")
