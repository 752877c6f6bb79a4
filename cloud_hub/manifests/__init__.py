"""Declarative manifests: what a person writes in YAML, what of it differs from what is there, and how it gets there."""
