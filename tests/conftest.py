"""What all tests share."""

import os
import signal

# A shell that starts the run in its background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Read when gRPC is imported: with it on, each process that a test starts later costs its parent open files.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
