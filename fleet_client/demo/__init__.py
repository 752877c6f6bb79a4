"""The demo: a hub and real agents as processes on this machine, and the story that they play."""
