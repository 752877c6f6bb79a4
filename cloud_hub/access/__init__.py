"""Who may speak to the hub: join tokens for devices, the API token for people and programs."""
