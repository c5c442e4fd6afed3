"""Models: what answers a step's request."""
