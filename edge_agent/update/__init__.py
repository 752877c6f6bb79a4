"""Carries out the orders that `edge_agent.core.update` decides on."""
