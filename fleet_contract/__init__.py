"""What agent and hub say to each other, and nothing else. No I/O, no clock, no randomness."""
