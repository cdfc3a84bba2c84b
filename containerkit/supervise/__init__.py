"""What keeps a container: the processes around it, its output, and what happens when any of them is killed.

Words: the *spawner* is a fresh interpreter, one per SDK process, that forks on request; the user's own process never
forks. A *monitor* looks after one container from start to end. A *helper* looks after one exec'd process. A *lease*
(store/leases.py) says that a monitor lives.

::

    your kernel or script --(one socket)-- spawner --fork-- monitor --clone3-- the container's init
            client.py                      spawner.py       monitor.py         runtime/
                                              \\---fork----- helper --clone3--- an exec'd process
                                              |             helper.py
                                              \\---fork----- keeper           holds an ordinary user's networks
                                                            keeping.py

One ``run`` comes from ``engine`` and ``starting``, which have read its options, and walks through the files like this::

    networks.py    which networks it wants to be on (the default one is made when it is not there)
    launch.py      lease, row (state creating, addresses leased), bundle on disk, then one Start message
      configure.py   options and image config become a runtime-spec configuration; devices.py helps
      volumes.py     what is mounted: volumes get their names before the row, and their first content after it
      etc.py         /etc/hosts, /etc/resolv.conf, /etc/hostname
      linking.py     what links add to its environment
    messages.py    the messages and the descriptors that travel with them
    client.py      starts the spawner when there is none, sends
    spawner.py     forks: the next one before it is asked for, which rehearsal.py has go through the motions
    monitor.py     runtime.create, row (state running), runtime start, reply "started"; before and between these
      networking.py  first, published ports bound; while the init mounts, cables and addresses; then, translations
      bridging.py    the bridge and the firewall, when they are not there
      segments.py    rows as net/ wants them
    linux/loop.py  the monitor waits here, for descriptors and moments:
      streams.py     output goes into the log (log.py) and to whoever is attached; input stays open
      control.py     others speak to the monitor: attach, close the input, stay ended, other networks
      health.py      probes
      monitor.py     out of memory: the notice of linux/cgroups/oom.py becomes an event and a mark of the container
      networking.py  the container's questions for names; what comes to its ports and is not translated
    monitor.py     exit code, cgroup removed, row (state exited, or gone), reply "exited"
    restarts.py    or the restart policy: wait, and once more from the start
    recover.py     when a monitor was killed instead: whoever looks next does its last step

What others have left is swept when an engine is opened (``engine``), and by who needs the room: sessions by
``abandoned``, volumes and their drivers' mounts by ``drivers`` and store/volumes, work by store/workspace, downloads by
store/downloads.

What else is done to a container that is there, from the SDK's side:

================================  ==================================================================
``ending``                        signals, the wait for the end, removal
``pausing`` ``updating``          freezer; other limits
``sessions`` ``output``           exec and popen: a helper's other end; output as a result
``attachments``                   attach: a monitor's other end
``logfiles`` ``follow``           reading a log, reading one that grows
``committing``                    its changes become a layer of an image
``rootfs``                        a descriptor of its root, for copies and paths
``filling``                      what volumes get first: the image's files, their owner
``drivers`` ``localdriver``       who keeps volumes' content; when it is mounted
``saving`` ``relay``              volumes to backups and back, by a worker that tells how far it is
``specs``                         its ``config.json``
``abandoned``                     sessions that are over: what was made in them is removed
``netdesign`` ``networks``        a new network's row; removed, connected and disconnected while it runs
================================  ==================================================================

An ordinary user's spawner makes a user namespace, and its children go into it (linux/confinement.py): there they have
the rights that a monitor needs. What the SDK itself has to do with such rights, layers to unpack and files to copy, it
hands to a child of the spawner too: ``worker.py``, by way of store/rights.py. Where a container has other users than
these, or than root's, ``userns.py`` says which.

Where root's containers are on networks of the host's network namespace, an ordinary user's are on networks of another
one, which all containers of an engine share: ``sharing.py`` finds it from the SDK's side, or has a keeper made that
holds it; with the Start message it comes to the monitor, which goes in for good (``inside.py``), once it has bound the
host's ports. The keeper ends when its last monitor has; when it is killed, the next start makes another, in the
namespace that monitors are still in.

There is no daemon. Containers outlive the process that started them: the monitor is a child of the spawner only until
the spawner ends, and holds nothing of it.
"""
