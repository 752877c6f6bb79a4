"""Makes artifacts for hardware targets from a source model, with the evidence that they are good, and checks them."""
