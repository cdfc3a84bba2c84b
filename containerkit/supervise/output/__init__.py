"""A container's output: from its pipes to the log, to whoever is attached, and read again.

``streams`` is the monitor's side: what comes out of the pipes goes into the ``log`` on disk, which rotates, and to who
is attached. From the SDK's side ``attachments`` is the other end of that, ``logfiles`` reads a log from where it
matters, ``follow`` one that still grows, and ``collected`` keeps an exec's output until somebody asks.
"""
