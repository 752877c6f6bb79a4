"""The devices of the fleet: who they are, when they were last heard from and what they reported."""
