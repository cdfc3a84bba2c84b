"""Registries: images from and to afar, by the protocol of the distribution specification 1.1.

Words: *registry* (a host that names begin with, ``docker.io``), *repository* (a path there, with its tags and blobs),
*host* (where a registry is really asked: itself, or one of its *mirrors*), *challenge* (what a registry demands before
it answers: WWW-Authenticate), *realm* (where tokens are to be had), *scope* (what a token allows), *mount* (a blob that
the registry takes over from another of its repositories).

One pull::

    pull.pull                 the reference, and the names that a short one may stand for
      hosts.hosts               where to ask: mirrors, then the registry; with or without TLS, which CAs: pure
      repository.Repository     the verbs of the specification, for one repository of one host
        api                     requests to one host, with what it wants to know of us
        authorization             a challenge (challenges.py: the grammar) is answered with a token, or with
          credentials               what ck.login has left in docker's configuration file, or
            helpers                   with a keychain
        transport                 redirects and retries, until its deadline
        connections               one request: proxies, certificates; the only place with an HTTP library
      manifest, config          read, bounded, verified; of an index the one for the platform
      pull._Layer               side by side: each into store/downloads.py, where a broken one goes on later, and
                                unpacked by another process while it arrives
    store.images.add          the image becomes visible: one transaction, all or nothing

One push walks the same way: :mod:`push` asks which blobs are there, mounts what a sister repository has, uploads the
rest side by side, and puts the manifest last.

Around these: :mod:`finding` looks here before any of this begins, :mod:`client` is what an engine does with all of it,
:mod:`sessions` what one call has with it (configuration, deadline, the API of each host); :mod:`accounts` logs in and
out, :mod:`catalogue` searches; :mod:`names` says what a short name may stand for, :mod:`deadline` when a call has to be
over; :mod:`recompress` has gzip ready for those who read no zstd.

What comes from a registry is a stranger's: texts are bounded before they are read, digests and sizes are checked before
anything gets a name, and neither credentials nor requests go where a registry has no business to send them.
"""
