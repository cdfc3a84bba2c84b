"""Containers that run: how they come to, and what is done in them.

``starting`` has ``create``, ``run``, ``call`` and ``start`` carried out by :mod:`containerkit.supervise`, which walks
one of them through its files. In a running one, ``execution`` is one more process that runs to its end, ``process`` one
that is spoken with as with :class:`subprocess.Popen`; ``conditions`` are waited for (``ck.until``); ``files`` go in and
out.
"""
