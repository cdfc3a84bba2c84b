"""A start, one operation at a time: ``ck.step(image, command)``.

The monitor and the init wait at gates (runtime/gate.py) before each operation; a ``Stepper`` gives the word, and looks
at the world before and after: from outside, by what ``/proc`` shows of the process to anybody with the right to look,
and inside, by what the process itself sees. ``worlds`` looks, ``values`` are what was seen, ``stepper`` walks.
"""
