"""Sessions: what is made in one ends with it, and with its process.

``session`` is ``ck.session()``; its ``watchdog`` a process that waits for the owner's end and removes what was left.
Who kills both is followed by whoever opens the engine next (supervise/abandoned).
"""
