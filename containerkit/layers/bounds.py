"""Bounds that every walk through a stranger's tree keeps."""

from __future__ import annotations

#: Deeper trees are a trap for whoever walks them.
MAX_DEPTH = 256
