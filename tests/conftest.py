"""What all tests share."""

import signal

# A shell that starts the run in its background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
