"""Volumes, from a container's point of view: what is mounted in it, and who keeps it.

``settling`` says which volumes and binds a container is made with; before its start ``drivers`` mount what has to be
(``local`` is the driver of this machine), and ``filling`` gives new volumes the image's files and owners. ``saving`` is
the part of a backup or a restore that needs the rights to all files: a worker's (supervise/longwork). Rows are
store/volumes and store/volumerows; what people hold is :mod:`containerkit.volume`.
"""
