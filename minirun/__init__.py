"""minirun: a small Docker-compatible container runtime whose heart is networking."""

__version__ = "0.1.0"
