"""What models did on devices, lately: for gates, for charts."""
