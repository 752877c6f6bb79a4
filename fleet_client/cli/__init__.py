"""The `vedette` command line. It starts fast: each command is imported when it is called."""
