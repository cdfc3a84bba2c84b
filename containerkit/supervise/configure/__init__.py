"""Options and an image's config become a runtime-spec configuration.

``spec`` puts it together: ``process`` (command, environment, rights), ``namespaces`` (with users), ``mounts``,
``limits``, ``security``. Of the host it looks at its devices (supervise/devices) and,
as the value ``machine``, at who may do what here. What an image says of a container's whole life comes before all that
(``image``).

The defaults are Docker's: its 14 capabilities, its seccomp profile, its masked and read-only paths, its mounts.
"""
