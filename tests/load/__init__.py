"""Load: what grows as containers, images, layers, volumes and networks do, and what must not: ``./dev load [NAME…]``.

Words
    *scenario*: makes many of something on an engine of its own, below a temporary directory, and says what that costs.
    A number after its name says how many (``starts=20000``), and it is over at that number or its time (5 minutes;
    ``starts``: 30).
    *figure*: one number, with the most that it may be where there is a goal.
    *works*: what is done with ten and with a thousand other things there; the ratio of both is the figure.

One scenario, walked through
    ``__main__`` makes the engine and the image, and calls ``measure(engine, count, seconds)`` of a module, which yields
    figures as it comes to know them. What it has made it removes one by one; what is left then, ``isolated_engine``
    removes.

==============  =====================================================================================================
``running``     many at once: starts, memory, descriptors, stats of all, events, logs; a hundred measured at 10 Hz
``created``     many in the list: listed, looked at, removed
``starts``      one after the other, as in a day: memory, descriptors, files, rows; how they grow from one to the next
``among``       works among few and many others: ``containers``, ``images``, ``layers``, ``volumes``, ``networks``
``machine``     what processes hold, and directories
``figures``     figures, medians, slopes
==============  =====================================================================================================

No part of ``./dev test`` but for tests/kernel/test_load.py, which goes through each of them with small numbers.
"""
