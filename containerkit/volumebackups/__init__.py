"""Volumes' backups, as people hold them.

A ``backup`` is a handle on one, wherever it is; a ``collection`` on a directory of many; ``transfer`` is the way there
and back, from ``Volume.backup()`` on: where from, where to, how far. The work is done by supervise/volumes/saving with
the formats of :mod:`containerkit.backup`.
"""
