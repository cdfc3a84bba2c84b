"""Side by side with the peers on the same machine: ``./dev bench``.

Words: a *figure* is one thing that is measured, with its goal; figures of one *group*, ``P5`` and ``P5-100``, are
measured together. A *side* is who is measured, ours or a *peer*; its *work* is what is timed. *Samples* are some times
in short, a *measurement* is a figure with everybody's samples, an *entry* of the history is a measurement with the run
it is from.

All sides take turns in one run, so that what the machine does meanwhile hits all alike: ratios say more than times.
One measurement, ``./dev bench --save P4``, walks through the files like this::

    __main__.py      reads arguments; makes an image, an engine and the peers, and gives them as a Bench (bench.py)
      machine.py       says when and where: date, commit, cores, kernel, load
      ours.py          begins a container that goes on, through the SDK
      peers/           begin one each, in a network namespace of their own; who is not installed is told
    groups.py        finds what measures P4
      figures.py       what P4 is, and its goal
    alternating.py   asks each side for its work (side.py), and does them in turns
    samples.py       median, least, spread; ratios to the peers; within the goal or not
    report.py        prints it
    history.py       adds it to history.jsonl
    page.py          executes notebooks/13_performance.ipynb, which draws the history

What is no time of one work has a file of its own, from ``groups.py`` on: ``recording`` (P5), ``pulls`` and ``layered``
(P11), ``memory`` (P12), ``fresh`` (P13), ``volumes`` (P14), ``growth`` (P15), ``throughput`` (N1). ``files``,
``webimage`` and ``logload`` are what is worked on. ``dashboard`` and ``largevolumes`` are programs of their own.
"""
