"""A virtual machine with cgroup v2 alone, as most machines of users are: ``python -m tests.vm [PYTEST ARGUMENT…]``.

Debian's kernel, booted by virtme-ng in qemu without KVM, with this machine's files as its own, read-only: no image, no
network, some 15 seconds. ``machine.TESTS`` is what runs there when nothing is chosen: what differs with cgroup v2, and
the few ways of volumes and builds that depend on the kernel. What tests write is on an ext4 in memory.
"""
