"""Work on models that is done in a process of its own: today the check before a version is signed."""
