"""The commands of `minirun network`."""
