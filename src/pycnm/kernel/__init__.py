"""The kernel of this machine: the one layer that has effects on it."""
