"""Rollouts: which devices are offered which version, how far that may go, and why."""
