"""A runtime-spec bundle becomes processes.

This package knows the runtime specification and the kernel, and nothing of images, names, logs or networks: it is used
on any bundle (``containerkit-runtime``).

Words: a *bundle* is a directory with ``config.json``; its *rootfs* is what the container sees as ``/``. A *plan* is the
list of *operations* that a start consists of; an operation is a value that can ``describe()`` and ``execute()`` itself.
Operations *outside* are executed by the process that creates the container, those *inside* by the container's *init*,
the process that becomes the user's program. A *context* is what operations hand on to each other.

One start, file by file::

    bundle.py        config.json is read and validated                        -> Spec
    plan.py          the Spec becomes a Plan: pure, no kernel, no root        -> Plan(outside, inside)
      operation.py     what operations, plans and contexts are; affinity.py reads lists of processors
    create.py        outside operations: cgroup, mapped mounts; the parent gets a Child ...
    understudy.py    ... which a process of its own makes, forked before: clone3
    init.py          and the child executes the inside operations:
      rootfs.py        the root file system, and pivot_root into it
      mounting.py      mounts (mount_options.py), masks
      copyonwrite.py   a directory that stays as it is, whatever is written
      places.py        devices, the terminal, the working directory
      namespaces.py    cgroup, loopback, host name, sysctls
      hooks.py         programs of the configuration's, at their moments; the parent has some of them
      identity.py      limits, user, capabilities, seccomp
      program.py       the word to start, and at last execve(2)
    messages.py      what parent and init tell each other meanwhile
    gate.py          where both wait before each operation, when somebody walks through

Entering a running container is :mod:`~containerkit.runtime.enter`: a shorter plan with the same operations.
:mod:`~containerkit.runtime.command` is the command line that others run containers with: podman, or a person.
:mod:`~containerkit.runtime.defaults` has what a container gets unless somebody says otherwise.

After pivot_root the init imports nothing, looks nothing up in NSS and opens nothing by name but what the configuration
names. Every module here is therefore imported by whoever calls :func:`containerkit.runtime.create.create`, before. What
enters a container is a sealed copy of the interpreter (linux/sealed.py).
"""
