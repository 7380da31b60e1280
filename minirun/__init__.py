"""minirun: a small Docker-compatible container runtime whose heart is networking."""

__version__ = "0.2.0"
