"""Dockerfiles, built here and by docker: config, history, layers and files are to be the same.

Words: *case* (a Dockerfile, its context and what a build is given), *corpus* (all of them), *builder* (docker's two,
``classic`` and ``buildkit``, and ours), *reference* (what a case is compared with), *built* (an image as it is
compared), *difference* (one line of text).

One case::

    corpus.CASES                stages, running, copying, copyoptions, ignoring, adding, settings, syntax, refused
    builders.Dockers.build      the context is written (case.Case.write), docker builds and saves it
    builders.Ours.build         the same here
    built.read                  an archive of either → config, history, layers, and the tree that they come to
    compare.differences         what is not the same
    verdict.between             without what compare explains, and the case (``ours``, ``differs``)

The reference is BuildKit where docker 20.10's knows the syntax, else the classic builder, else what is written in the
case by hand, from the Dockerfile reference: ``Expected``. ``python -m tests.peers.builds`` prints the table.
"""
