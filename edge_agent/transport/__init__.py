"""How the agent reaches the fleet's broker."""
