"""What a device needs to join: the fleet's certificate authority, the broker's configuration, the unit file."""
