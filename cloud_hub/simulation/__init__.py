"""A rollout before it happens: the very engine and gates of the hub, on a fleet that is only numbers."""
