"""The kernel, one file per facility; the only place that calls it with ctypes.

A wrapper has the system call's own name, does one thing, and raises ``OSError`` with errno and the path it was about.
Constants keep the kernel's names. Nothing here knows what a container is; ``cgroups`` knows the runtime specification's
limits.

=================  ==========================================================================
``libc``           the C library, and how a result becomes an ``OSError``
``mounts``         mount, umount2, pivot_root, openat2, the fsopen family, mount_setattr
``namespaces``     clone3, unshare, setns, user-namespace maps
``takeover``       a child that has its maker's memory, and nothing is copied
``confinement``    user namespaces of ordinary users: made, mapped, entered
``isolated``       a program with all that it starts, in namespaces that end with the call
``process``        prctl, pidfds, start times, titles, users for a while
``scheduling``     turns on processors and disks
``sealed``         the interpreter as a file that nobody can write to
``capabilities``   names, sets, capset
``seccomp``        a program becomes this process's filter; ``seccomp_compiler`` makes it of a profile, with
                   libseccomp, and ``seccomp_cache`` keeps it on disk
``cgroups``        v1, v2 and hybrid behind one interface
``loopback``       lo up
``netlink``        links, addresses, routes: rtnetlink, by hand
``netview``        links, routes and neighbours are shown: pyroute2
``sockets``        which programs hold a port: proc_net
``routes``         where there are ways to: proc_net
``nftables``       libnftables: commands, each one transaction
``conntrack``      what the kernel remembers of translated datagrams: ctnetlink, by hand
``procfs``         what ``/proc/PID`` tells of a process
``files``          syncfs, renameat2, flock, copies with their holes, files that appear when they are whole
``loopdev``        a file as a block device
``bpf``            bpf(2): a program decides on devices, as cgroup v2 wants it
``parts``          files on their way, until they are whole
``passing``        words, descriptors and objects, from one process to another
``inotify``        a file has grown
``loop``           poll: descriptors and moments, with what to do then
=================  ==========================================================================
"""
