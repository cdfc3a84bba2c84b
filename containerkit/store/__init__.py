"""What is on disk: blobs, images, layers, containers, and who is alive.

Words: *blob* (bytes named by their digest), *image* (a manifest, its config and its layers, all blobs; its id is the
config's digest), *tag* (a reference that names an image), *layer* (a blob unpacked into a directory, named by its chain
id and never written again), *parent* (the layer below), *snapshot* (a container's root file system: layers, and one
writable directory on top), *mounts* (what to mount to have it), *ingest* (blobs on their way in, seen by nobody else).

One import::

    imports.import_          a directory or an archive becomes a layer …
      ingest.Ingest            … in a private directory of tmp/, its owner known by a lock
      layers/pack              … compressed, and hashed twice: as it is, and as it is stored
    images.Images.add        the image becomes visible:
      layers.Layers.unpack     its layers are unpacked, once among all processes …
        unpacking.unpack         … and checked against their chain ids
      (one transaction)        blobs get their names; rows for the image, its tag, and what it uses; index.json

One commit::

    snapshots.Snapshots.pack   a container's writable layer becomes a layer (layers/writable) …
      ingest.write_layer         … packed and unpacked in one reading, by somebody with the rights to its files
    store.Store.place          the two get their places
    store.Store.add_image      config and manifest, and on as for an import

A Debian system (:mod:`debian`) goes the same way, from the directory that Debian's tools have made.

One run::

    images.Images.get        a tag or id becomes an ImageRecord: one query, the rest from memory
    containers               a row for the container: from here on the image cannot go
    snapshots.Snapshots.prepare   its directories, and the overlay mount of its layers

An ordinary user's trees hold files of other users: who touches them there says so with :mod:`rights`.

All files by what they keep (:mod:`paths` draws the tree on disk):

===========================================  =========================================================
``store`` ``database``                       all of it; the SQLite file, which many processes write
``blobs`` ``ingest`` ``imports``             bytes by digest; on their way in; from a directory or tar
``downloads`` ``workspace``                  what comes from afar; private directories for work
``images`` ``imagerows`` ``layout``          images and their names; their rows; index.json for others
``layers`` ``marks`` ``unpacking``           unpacked layers; what is said beside them; a blob becomes one …
``flushing``                                 … and goes to the disk meanwhile
``snapshots`` ``owners`` ``exchanging``      containers' roots; layers with other owners, and who these are
``containers`` ``leases`` ``events``         containers' rows and states; who is alive; what happened
``networks`` ``netrows``                     networks' rows, and these as values
``addresses`` ``leasing``                    subnets and what is free in them; who has which address
``volumes`` ``volumerows``                   volumes and their directories; their rows and users
``buildsteps`` ``filedigests``               the build cache; digests of files that were read before
``trees`` ``usage`` ``verify`` ``rights``    trees of strangers; room on the disk; damage; whose files
``debian``                                   Debian systems from this machine's apt sources
===========================================  =========================================================

What keeps garbage and haste apart is one rule: **a blob gets its name inside the transaction that writes the rows that
use it.** So whoever holds the write lock knows that a blob without a row is garbage, whoever is at work meanwhile, and
a process that is killed leaves files in tmp/ only, whose lock the kernel has dropped: the next ingest sweeps them. What
an image on its way will use and somebody else might remove is held until then: a blob by another name of its file
(``Ingest.hold``), an unpacked layer by a lock that collectors heed (``Layers.needed``).

Disks are full: :mod:`reserve` is room for SQLite to write with, before a prune has freed anything.

Disks rot: :mod:`verify` reads everything, and takes away what is damaged, so that it is fetched or unpacked anew.
"""
