"""What the agent keeps on disk: artifacts by their content, journals, the desired state it follows."""
