"""Sessions: what is made in one ends with it, and with its process.

``session`` is ``ck.session()``; its ``watchdog`` a process that waits for the owner's end and removes what was left.
If both are killed, whoever opens the engine next removes what is left; the removal is supervise/abandoned each time.
"""
