"""What empty files beside an unpacked layer's directory say of it.

In a file of its own: who unpacks layers, in a process of its own for each, imports nothing more of the store.
"""

from __future__ import annotations

#: The file beside a layer that hides all that is below it.
OPAQUE = "opaque"
#: The file beside a layer that does not say what the root is like.
NO_ROOT = "no-root"
