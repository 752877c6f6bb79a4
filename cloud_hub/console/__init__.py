"""The console: pages that people look at. It asks the subjects' services, and holds no rules of its own."""
