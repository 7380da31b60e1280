"""The commands of `minirun container`, most of which have a short spelling, too. commands.py names the modules."""
