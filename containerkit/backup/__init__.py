"""A tree of files becomes a backup, and a tree again. Of volumes it knows names, of containers nothing.

What people hold is above, in ``volumebackups``: its ``transfer`` (called by ``volume``) has
supervise/volumes/saving run this package where the files' rights are.

Words: *item* (one name of the tree with all that is said of it), *manifest* (the items, and what is said of the whole),
*id* (the digest of the whole: trees with equal ids are equal), *base* (the backup that an incremental one leaves
unchanged contents to), *elsewhere* (of a content: in the base), *torn* (of a content: it changed while it was read),
*foreign* (of an archive: written by another program, without a manifest).

One backup::

    write.write                 a path, a URL or an open file; the final name appears when all is on the disk
      trees.Living                the tree while it is read; or staging.Staged, as it was at one moment
        walk.walk                   item after item, from descriptor to descriptor
      earlier.Earlier             what the base knows, and what of it is as it was
      headers.header              what tar says of it
      packing.Packer              headers and contents in large pieces, hashed, compressed beside the reading
      age.Sealing                 encrypted, on request
      destinations.writing        a file of another name, fsync, rename (linux/parts); or a URL's own way

Or into a directory of many (directory, which draws it), where what several have is kept once::

    directory.Directory.add     a backup is a file of its own; retention.py says which stay
      cutting.Cutter              contents become blocks, hashed and compressed by several threads
      snapshots.shelve            so does the manifest, in groups of lines: those that have not changed are there
      packs.Writer                blocks become packs; secrecy.py keeps them from those without the passphrase

``place.Place`` says where a backup is, whatever form it has; ``opened.Opened`` is what is read of it. A tree and its
names are ``items``, all that is said of one ``manifest``; ``staging`` keeps a tree as it was at one moment; ``compare``
says what two trees differ in; ``sources`` opens a file, a URL or an open file so that it can be sought in.

One restore::

    archive.open                its manifest, all of it checked; of a foreign archive, made by reading it (foreign)
    unpack.unpack               directories, contents, links and nodes, then what directories are like
      chain.contents              from the backup, then from its base, and that one's: each is what was backed up
        members.Members             the archive's entries, which have to be what the manifest says
        hashing                     hashes what came, in a thread beside

Format 2, a file that any tar can restore::

    compressed part 1           a pax archive:
      global header               comment=containerkit backup 2
      ./, ./a, ./a/b …            in the order of the names' bytes in each directory, a directory before its content
      end mark                    two blocks of zeros: here tar stops
    compressed part 2           the manifest (module manifest), in JSON lines
    trailer                     offset of part 2, size and SHA-256 of the manifest (module trailer)

Attributes are ``SCHILY.xattr.*`` records, access control lists ``SCHILY.acl.*`` too, sparse files GNU's format 1.0,
times have nanoseconds. Sockets, which tar has no word for, are in the manifest alone. With zstd the parts are frames
and the trailer a skippable one; with gzip they are members; with "none" they follow each other. An incremental backup
has the entries of what is not elsewhere: a plain tar restores what has changed. An encrypted file is all of this in the
age format (module age), which ``age -d`` opens.

GNU tar restores all but the sockets with ``tar --xattrs --xattrs-include='*' --acls -xpf``; one that does not know
sparse files of format 1.0 (busybox) restores those, and only those, with their map of holes in front.
"""
