"""The device agent: runs models, follows the hub's desired state, and keeps what it saw until the hub has it."""

# Written here and not asked of importlib.metadata, which costs 3 MB of the agent's memory; a test keeps it true.
__version__ = "0.1.0"
