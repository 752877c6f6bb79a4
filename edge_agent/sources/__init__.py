"""What feeds a model when no application does."""
