"""Side by side with the peers on the same machine: ``./dev bench``.

Every figure is measured in one run, alternating between us and each peer that is installed, and reported as a median
with its range, and as the ratio of medians. A peer that is missing is named, with what installs it.

``peers.py`` knows how to drive docker, podman, buildah, runc and bubblewrap; ``ours.py`` does the same through the SDK;
``__main__.py`` alternates, and prints the table.
"""
