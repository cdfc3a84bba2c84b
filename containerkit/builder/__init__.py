"""A Dockerfile, or the same written in Python, becomes an image.

Words: *context* (the files that COPY and ADD see), *stage* (from one FROM to the next), *step* (one instruction of a
stage, expanded), *state* (what a step starts from and what it gives: a config and a stack of layers; a value), *key*
(the digest of all that a step's result depends on), *inputs* (the named parts of a key, kept, so that a step that was
not found in the cache can say which of them is another one now), *trigger* (an ONBUILD instruction of a base image).

One build, from the one who asks on::

    request               what the caller says, read; how it goes, told; what went wrong, in the caller's words
    context.open_context  a directory, an archive, a stream or nothing (tree, archived), without what ignore.py hides
    dockerfile.parse      (the package beside this one) text → stages of typed instructions; a recipe has them already
    build.Build           all of it, from what the caller wishes (wishes) to the image or the error
      planning              which stages the target needs, and in which order; those that are independent side by side
      stagerun.StageRun     one stage, step after step, from its state (state) to the next
        bases.Bases           FROM: an image, another stage, or nothing; its triggers come first
        inputs                what an instruction depends on; then what it does:
        dockerfile.config       ENV, CMD, USER …: another config, no layer
        copying                 COPY, ADD: files of the context, a stage, an image, a URL (fetch) → a layer
          sources, matching       which files the sources are (Go's rules)
          placing, modes          where they go: links, directories that are missing; what --chmod says
        running                 RUN: a container of the state; what it has changed → a layer
          mounting                its mounts: caches, binds, secrets, files in memory
        workdir                 WORKDIR: a directory that is not there → a layer
        cache.Cache           by key: the layer that came out of it once, and its inputs; inline: one that images carry
    result.write          the last state becomes an image with its history (history), at once or not at all
    report                how it went: each step, HIT or MISS, and because of what
    buildcache            ``ck.build_cache``: what builds keep, to be looked at and emptied

A step's key is made of contents, never of names: the chain id of the layers below, the instruction after expansion,
of RUN its environment, user, directory and mounts, of COPY the digests, modes and owners of the files. What a stage is
called, where the context is, and what a base image tells of its history is not in it. Secrets are not either.

A *rehearsal* is the same walk, of which nothing is carried out: a step that is not in the cache is a miss, and those on
top of it are not known, since what a miss comes to may be what it came to before.

Whoever waits is told through :mod:`containerkit.progress`: each stage is a part with its steps as items; a step tells
the lines of its output, and ends as HIT, MISS, done (it changed no files), failed, or ended (another one has failed).

Layers wait in one :class:`~containerkit.store.ingest.Ingest` until the build has ended, well or not; then those of
steps that were carried out get rows in the cache (store/buildsteps.py), which keep their blobs and directories as
images do.
Kill the process at any moment: a RUN's container is tied to it (supervise/monitor.py) and goes; what was in the ingest
is swept; rows and images are written in one transaction.
"""
