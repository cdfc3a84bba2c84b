"""Operations that are hit: killed, or told that the disk is full or broken, at any of their system calls.

Nothing of the kernel is mocked. A process with a seccomp filter asks before each call that changes something, and so do
all that it starts, spawner and monitors included (seccomp_unotify(2)); the test's process answers: go on, fail with
ENOSPC or EIO; or it kills the caller, or everybody.

Words: an *operation* is what a user calls (``run``, ``commit``, ``restore`` …); a *call* is a system call that changes
something; a *fault* is a kind and the number of the call that it hits; a *scene* is a directory with an engine that has
something to lose; a *case* is an operation, hit once.

=================  ==========================================================================
``operations``     the table: what is there before, what is done, how to see that it is whole
``scene``          the directory: made once, copied for each case; what is lost, damaged or left in it
``listening``      the filter, and the descriptor at which it asks
``faults``         the kinds, and which calls each of them can hit
``watching``       who answers
``working``        the process that forks for each operation, and below which all of it is
``case``           a case from beginning to end; the same on a disk that is full
``steps``          ``kill -9`` between two operations of a start's plan
``__main__``       ``./dev faults``: all of them
``test_found``     what they have found, each by itself; ``test_times``: clocks set back, a machine switched off
=================  ==========================================================================

One case, ``commit`` killed at its 20th call::

    case.Bench.carry_out     the template is copied; a container runs and has written a file (Operation.prepare)
      working.Worker.begin     a fork loads the filter and waits; its listener is taken (pidfd_getfd(2))
      watching.Watch           a thread answers from now on
      Worker.go                engine.containers["box"].commit("committed")
        Watch._hit               19 calls go on; at the 20th its process gets SIGKILL instead of an answer
      Worker.end               it was killed
      _look                    the engine is opened anew: the image, container, volume and network of before are there;
                               no work in progress is left; the result is whole or absent
        Operation.work           absent: once more, and now it is whole
        Scene.damage             every blob and layer is what its name says
      Scene.clear              everything is removed
    leftovers.left           no mount, link, namespace, cgroup, table of the firewall or process is left

``./dev test`` hits each operation at one point of each kind, in the middle of its calls; ``./dev faults 5`` at five,
``./dev faults`` at all. How many calls an operation makes differs a little from time to time: several processes work at
once. What must be true afterwards does not.
"""
