"""All tests, and what they stand on. ``./dev test`` runs them in this order; with arguments, pytest with those.

===============  ====================================================================================================
``unit``         grammars, plans and formats: no kernel, no root, no network
``fuzz``         every parser of foreign bytes, with cases that are never the same; longer by ``./dev fuzz``
``kernel``       the real kernel by public names, as root; each ends by looking for what is left (``leftovers``)
``faults``       operations killed, or refused by the disk, at their system calls; more by ``./dev faults``
``security``     containers, images and archives that mean harm
``rootless``     an ordinary user does all of it: programs that run as one
``peers``        podman, skopeo, docker's registry, Prometheus: what they write we read, and the other way round
``notebooks``    every notebook is executed, twice, and its outputs compared (``notebookruns``)
``browser``      widgets in JupyterLab in headless Chromium; ``python -m tests.browser.screenshots`` makes the pictures
``course``       the course's exercises with Debian images made here
``vm``           a virtual machine with cgroup v2 alone; some of these tests there, by ``./dev vm``
===============  ====================================================================================================

Not in ``./dev test`` but on request: ``load`` (what grows, ``./dev load``) and ``bench`` (beside the peers, ``./dev
bench``). ``demo`` is ``./dev demo``.

What several of them use is here: ``busybox``, ``archives``, ``tars``, ``trees``, ``backups``, ``bundles`` and
``shelves`` make things to work on; ``engines``, ``servers``, ``registry_stub``, ``loopback``, ``dns_server`` and
``hosts`` are whom to work with; ``processes`` and ``leftovers`` say what goes on and what is left.
"""
