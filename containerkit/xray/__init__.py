"""What a running container is to the kernel: ``Container.xray()``.

Everything is read from outside, from ``/proc`` and the cgroups' files: nothing is entered but, by a worker, its
network, whose addresses are to be had nowhere else. ``values`` has what is found, ``reading`` finds it,
``views/xray.py`` draws it.
"""
