"""The MQTT broker beside the hub, and the hub's one connection to it."""
