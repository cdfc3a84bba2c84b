"""Layers: tar streams to and from directories, and the programs of this machine as one.

Words: *entry* (one file of an archive: its header, then its content), *layer* (a tar stream, in a blob or on its way
there), *whiteout* (an entry ``.wh.NAME`` that says: NAME of the layers below is not there any more), *opaque* (a
directory of which nothing below shows), *implied* (a directory that has entries in it, and none of its own), *diff_id*
(digest of the uncompressed stream).

Into an image: :mod:`write` (a directory) or :mod:`hostprograms` (programs) give :class:`tar.Entry` after entry with
its content; :class:`pack.Packer` makes the one stream of them, hashes it, compresses it
(:mod:`compression`) and writes the blob. An archive that exists already passes through :func:`pack.repack`.

Onto the disk: :mod:`compression` gives the uncompressed stream of a blob; :class:`tar.Reader` cuts it into entries,
within bounds; :mod:`apply` makes files of them, below one directory whatever the archive says, with whiteouts in the
form overlayfs reads; what is implied is as :mod:`below` finds it in the layers below. Whoever wants a layer on the disk
asks ``store/layers``: it is unpacked (``store/unpacking``) once among all processes, and checked against its chain id.

=================  ======================================================================
``tar``            the format: headers, pax records, old GNU names
``compression``    gzip, zstd, xz, bzip2 by their first bytes
``frames``         where a zstd stream may end
``ahead``          a stream is unpacked and hashed beside whoever makes files of it
``pack``           entries or an archive become a compressed layer with its digests
``installer``      entries become a layer and files at once
``write``          a directory's entries, in an order of their own
``apply``          entries become files
``below``          what is implied: as, and where, the layers below have it
``whiteouts``      how deletions are written
``hostprograms``   programs, the libraries they name, and what they open by themselves
``aptsources``     where this machine's apt gets its packages
``hostlayer``      files of this machine as a root file system
``debianlayer``    a Debian system that was just made, without what belongs to this machine
``elf``            which interpreter and libraries a program names; the loader's cache
``bounds``         how deep a stranger's tree may be, and how much an archive may unpack to
``lookup``         one file out of a stack of directories
``stack``          directories read as the one tree they come to
``listing``        what is in a layer, as rows
``diff``           what one such tree changes of another
``writable``       what a container has changed, as a layer
``compare``        whether two trees are the same
``flatten``        a stack of directories as one tree of copies
``copy``           files between two directories, by descriptors
=================  ======================================================================
"""
