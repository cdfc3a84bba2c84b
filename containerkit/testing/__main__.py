"""``python -m containerkit.testing``: the path of the patterns for nbval."""

from containerkit.testing import sanitizer

print(sanitizer())
