"""Images as one file: what ``docker save`` writes, and OCI layouts.

Words: *archive* (a tar of images, plain or compressed as a whole), *docker-archive* (one with ``manifest.json``, which
lists for each image the file of its config, its tags, and the files of its layers, uncompressed), *layout* (the files
of the OCI image layout: ``oci-layout``, ``index.json`` and ``blobs/``; a directory, or in an archive), *document* (one
of those JSON files), *piece* (a config or a layer of a docker-archive, by the name it has there), *found* (an image of
an archive: its manifest, which waits with its blobs in an ingest, and its tags).

One save::

    save.select                   references and ids become images, each with the tags it is saved with
    save.save                     a new file beside the target, compressed as its name says, …
      layout.write                  … gets documents and blobs as they are stored: digests stay;
      docker.write                  … or documents, configs, and layers as plain tars
      writing.Writer                everything is hashed on its way: a damaged store gives no archive
                                  the file takes the target's place when it is whole

One load::

    load.load                     bytes, a path, or a stream, which is read once and never sought in
      contents.Contents             every file of the archive goes to where it will be needed:
                                      documents into memory, bounded
                                      blobs/sha256/… into the ingest, if they are what their name says
                                      layers of a docker-archive through layers/pack.repack, which compresses
                                      those that are not, and tells their diff_ids
      directory.Directory           or a layout on disk, of which only what is needed is read
      layout.images                 the index, and the indexes in it, become what was found …
      docker.images                 … or manifest.json does; each layer's diff_id must be its config's
      Images.add_all              everything becomes visible, or nothing: one transaction

A layout is preferred where both are there: it keeps the manifests, so that digests stay. Which name an entry of an
index has, and why there are three ways to say it, is :mod:`names`; how far all this is, :mod:`telling` tells;
what both formats share is in :mod:`values`.
"""
