"""What keeps a container: the processes around it, its output, and what happens when any of them is killed.

Words, of processes: the *spawner* is a fresh interpreter, one per SDK process, that forks; the user's own process never
does. A *spare* waits for a request; the *relief* that it was forked from waits beside it, and so does an *understudy*
(runtime/understudy.py), the relief's other child, which becomes the process that is started.

Words, of duties, which a spare takes on with a request: a *monitor* looks after one container from start to end, a
*helper* after one exec'd process, a *worker* does what takes rights that the SDK has not, a *keeper* holds the networks
of an ordinary user. When a duty ends soon, who had it is a spare once more. A container that lives on is handed over
after a moment: the relief is its monitor from then on, and the spare ends. A *lease* (store/leases.py) says that a
container has a monitor. In ``ps`` a monitor is ``containerkit-monitor NAME``, a worker ``containerkit-worker``, a
keeper ``containerkit-networks``, anybody else ``containerkit-spawner``.

::

    your kernel or script --(one socket)-- spawner --fork-- relief --fork-- spare: monitor, helper, worker, keeper
            client.py                      spawner.py       relief.py  |    spare.py: monitor.py, helper.py, worker.py
                                                                       \\-fork-- understudy: the container's init, or
                                                                                an exec'd process (runtime/)

One ``run`` comes from ``engine`` and ``starting``, which have read its options, and walks through the files like this::

    launch.py                the order of steps:
    reserving.py             lease, row (state creating, addresses leased), bundle on disk
      networks/membership.py   which networks it wants to be on (the default one is made when it is not there)
      names.py                 a name for a container that was given none
      configure/               options and image config become a runtime-spec configuration; devices.py helps
      volumes/settling.py      what is mounted: volumes get their names before the row, their first content after it
    asking.py                one Start message, and before it:
      etc.py                   /etc/hosts, /etc/resolv.conf, /etc/hostname
      linking.py               what links add to its environment
    messages.py              the messages and the descriptors that travel with them
    client.py                starts the spawner when there is none, sends
    spawner.py               sees that a spare waits (rehearsal.py has each go through the motions when it is new)
    spare.py                 takes the request, and waits for another when this has ended soon
    monitor.py               runtime.create, row (state running), runtime start, reply "started"; before and between:
      networks/networking.py   published ports bound; while the init mounts, cables and addresses; then, translations
    linux/loop.py            the monitor waits here, for descriptors and moments:
      output/streams.py        output goes into the log (log.py) and to whoever is attached; input stays open
      control.py               others speak to the monitor: attach, close the input, stay ended, hold still, networks
      health.py                probes
      watch.py                 out of memory: the notice of linux/cgroups/oom.py becomes an event, at once
      networks/networking.py   questions for names; what comes to published ports and is not translated
    relief.py                a moment later: a process that has not grown by all of that goes on
    watch.py                 exit code, whether memory was why (the cgroup's counter), cgroup removed
    monitor.py               row (state exited, or gone), reply "exited"
    restarts.py              or the restart policy: wait, and once more from the start
    awaiting.py              the SDK hears of the start, and of the end
    recover.py               when a monitor was killed instead: whoever looks next does its last step

One ``exec`` goes from running/execution.py to ``processes.py``, as an Enter message (``messages.py``) to a spare, which
becomes its helper: ``helper.py`` has an understudy become the process (runtime/enter.py), and tells of its end.

What others have left is swept when an engine is opened (``engine``), and by who needs the room: sessions by
``abandoned``, volumes and their drivers' mounts by ``volumes/drivers`` and store/volumes, work by store/workspace,
downloads by store/downloads.

Three things have rooms of their own, with both sides in them, the SDK's and the monitor's: :mod:`networks
<containerkit.supervise.networks>`, :mod:`volumes <containerkit.supervise.volumes>` and :mod:`output
<containerkit.supervise.output>` (logs, and being attached). What else is done to a container that is there, from the
SDK's side:

================================  ==================================================================
``ending``                        signals, the wait for the end, removal
``pausing`` ``updating``          freezer; other limits
``processes``                     exec and popen, the SDK's end: it sends the request, a helper carries it out
``committing``                    its changes become a layer of an image
``rootfs``                        a descriptor of its root, for copies and paths
``longwork``                      work of a worker that tells how far it is
``configjson``                    its ``config.json``
``abandoned``                     sessions that are over: what was made in them is removed
================================  ==================================================================

An ordinary user's spawner makes a user namespace, and spares go into it (linux/confinement.py), with a container the
relief, too: there they have the rights that a monitor needs. What the SDK itself has to do with such rights, layers to
unpack and files to copy, it hands to a worker: ``worker.py``, by way of store/rights.py. Where a container has other
users than these, or than root's, ``userns.py`` says which.

Where root's containers are on networks of the host's network namespace, an ordinary user's are on networks of another
one, which all containers of an engine share: ``networks/sharing.py`` finds it from the SDK's side, or has a keeper made
(``networks/keeping.py``) that holds it; with the Start message it comes to the monitor, which goes in for good
(``networks/inside.py``), once it has bound the host's ports. The keeper ends when its last monitor has; when it is
killed, the next start makes another, in the namespace that monitors are still in.

There is no daemon. Containers outlive the process that started them: a monitor holds nothing of the spawner, which ends
with that process, and with it end those who wait for a request.
"""
