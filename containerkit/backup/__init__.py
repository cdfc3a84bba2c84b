"""A tree of files becomes a backup, and a tree again."""
