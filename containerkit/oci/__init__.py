"""Values and grammars of the OCI specifications: no input or output, no kernel.

Words: *digest* (``sha256:<hex>`` of some bytes), *descriptor* (media type, digest and size of a blob), *manifest*
(descriptors of a config and its layers), *index* (descriptors of manifests), *diff_id* (digest of a layer's
uncompressed tar), *chain_id* (digest of a stack of diff_ids), *bundle* (a directory with ``config.json`` and a root
file system).

Values are frozen dataclasses; :mod:`containerkit.oci.codec` reads them from JSON once, at the boundary, and nothing
further in sees a raw dict.
"""
