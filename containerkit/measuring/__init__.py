"""What containers use: now, over time, side by side, and for Prometheus.

Words
    *stats*: everything the kernel counts about a container, at one moment.
    *reading*: of that, the few numbers that are read again and again, with the moment's time: to be shown, and by a
    clock that nobody sets, to count with.
    *gauge*: takes the readings of one run of a container. Its files stay open, unless many gauges' do.
    *rates*: what was used a second between two readings.
    *sampler*: a thread that takes something at even distances.
    *recording*: the readings of one container, one after the other; *recordings* are several, of the same moments.

One recording, walked through
    ``with ck.record() as rec:`` makes ``Recordings``, and ``start`` looks for what runs. For each there is a
    ``Recording`` with a ``Gauge``, which takes a first reading; one that has ended by then has none.
    A ``Sampler`` calls ``Recordings._take`` every ``interval`` seconds: each living one takes a reading. One whose
    cgroup or process is gone (``gauge.is_end``) has ended; any other error is kept, told by ``stop``, and the next
    moment is tried. When the store has a new event, what was started meanwhile is taken in.
    ``stop`` ends the thread and closes the files. ``rows`` are made from pairs of readings, ``frame`` and ``plot``
    from the rows; ``compare`` puts two recordings side by side.

===============  ============================================================================
``stats``        ``Stats``, everything at once; whose traffic counts
``gauge``        readings and rates
``sampler``      the thread
``recording``    one container over time; ``recordings`` several at once
``comparison``   two recordings, or two images, side by side
``collector``    all containers of an engine, look after look: what the dashboard shows
``metrics``      an HTTP server for Prometheus
===============  ============================================================================
"""
