"""``containerkit-runtime``: the runtime as a command, as runc and crun are, for podman, containerd and people.

Source: runtime-spec runtime.md; the command lines of runc(8) and crun(1), of which this takes what they share.

Words: an *id* names a container below the *root*, a directory with one directory for each container. Its *record*
(``state.json``) says which process it is; its *status* is worked out from that process each time somebody asks:
nothing that was killed is believed to run.

================  =================================================================================
``cli``           arguments, errors, the log: who calls whom
``records``       the root directory: what is written down of a container, and its status
``life``          create, start, run, kill, delete, pause, resume, update
``executing``     exec
``terminals``     a terminal's master goes to a console socket, or is copied to and from ours
``waiting``       being the foreground: signals go on, exit codes come back
``telling``       state, list, ps, events, features, spec
``agents``        the process that decides on system calls gets its descriptor
================  =================================================================================

A ``create`` walks through it: ``cli`` → ``life.create``: the record is made, bundle.load, create.create, the init gets
ready and is told that its parent ends (runtime/messages.py: *detached*), the record has its pid. ``start`` connects
to the socket ``start`` beside the record, on which the init listens, and has the rest of that conversation.
"""
