"""The commands of `minirun system`, events, info and version."""
