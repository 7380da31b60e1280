"""The commands of `minirun image`, and their short spellings."""
