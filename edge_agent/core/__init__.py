"""Deciding code of the agent. No I/O, no clock, no randomness."""
