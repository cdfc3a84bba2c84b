"""Values and grammars of the OCI specifications: no input or output.

Words: *digest* (``sha256:<hex>`` of some bytes), *descriptor* (media type, digest and size of a blob), *manifest*
(descriptors of a config and its layers), *index* (descriptors of manifests), *diff_id* (digest of a layer's
uncompressed tar), *chain_id* (digest of a stack of diff_ids), *bundle* (a directory with ``config.json`` and a root
file system).

Values are frozen dataclasses; :mod:`containerkit.oci.codec` reads them from JSON once, at the boundary, and nothing
further in sees a raw dict.

=================== =========================================================================
``reference``       how people name images
``digest``          ``sha256:…``
``manifest``        descriptors, manifests and indexes
``image_config``    an image's config: what it runs and how, and of which layers it is
``platforms``       ``linux/arm64``: which one this machine is, and which of an index suits it
``runtime_spec``    a container's ``config.json``
``users``           who ``user="www-data"`` is, by the container's own ``/etc/passwd``
``seccomp_profile`` profiles as people write them; ``seccomp_default`` is Docker's
``codec``           JSON to values and back
=================== =========================================================================
"""
