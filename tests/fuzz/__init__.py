"""Foreign bytes: everything here that reads what a stranger, a registry, a container or the kernel has written.

Words: a *parser* is one entry: *inputs*, a strategy of mostly valid input of which a little is spoiled; a *reading*,
the function that calls the product with it; and what has to hold. A *case* is one input. What has to hold of every case
(``case.py``): there is a value, or an error of our tree that names its object; never another exception; never more than
so much processor time and memory; never a file outside of the directory that was given. Where there is a writer, the
reading itself checks that what it writes is read as the same.

::

    edits.py             input is spoiled: bytes are cut, doubled, replaced; members of JSON are something else
    case.py              Parser, the decorator ``parser``, and ``check``, which carries one case out within its bounds
    dockerfiles.py       Dockerfiles, .dockerignore, patterns, words of a shell
    images.py            references, manifests, configs, runtime configurations, seccomp profiles
    layers.py            tar archives, compressed streams, archives of images
    backups.py           backups: archives, manifests, trailers, age, packs, snapshots
    registries.py        headers, addresses, credentials
    outputs.py           logs, templates
    nets.py              DNS messages and connections, resolv.conf
    machines.py          passwd, subuid, /proc, cgroups, apt, ELF, ld.so.cache, config.toml
    choices.py           option strings
    messages.py          what our own processes tell each other, and anybody else of the same user
    test_parsers.py      each parser, some cases that are always the same: part of ``./dev test``
    __main__.py          ``./dev fuzz [SECONDS] [NAME…]``: on and on, with cases that are never the same

One case: ``inputs`` of the parser ``manifest`` takes a manifest, replaces its ``layers`` by ``{}`` and repeats some
bytes in the middle; ``check`` starts the clock, bounds the memory and calls ``oci.manifest.read_manifest``, which
raises ``InvalidArgument("manifest x: layers: expected a list, found {}")``: that is fine, and the next case comes. Had
it been a KeyError, hypothesis would look for the smallest such input; ``./dev fuzz`` prints it, with the command that
carries it out again, and the mended fault gets a test in ``tests/unit`` beside the parser's others.
"""
