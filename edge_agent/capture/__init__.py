"""Which inputs a device keeps for the next version, and the files in which it does."""
