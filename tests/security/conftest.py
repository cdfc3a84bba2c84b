"""Attacks run as kernel tests do: on a real engine, and nothing is left."""

from tests.kernel.conftest import busybox_tar, engine, image, nothing_is_left

__all__ = ["busybox_tar", "engine", "image", "nothing_is_left"]
