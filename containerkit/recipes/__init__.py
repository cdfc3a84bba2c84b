"""An image that is described in Python and not built yet: ``image.with_run(…).with_copy(…)``.

``instructions`` has one method for each instruction of a Dockerfile (images and chains have them all), ``chain`` is
what such a call gives, and ``recipe`` the value behind it, which is either built (:mod:`containerkit.builder`) or
written down as the Dockerfile that says the same. ``origins`` are the files that ``with_copy`` and the like are given.
"""
