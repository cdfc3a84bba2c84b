"""What containers are connected to: bridges, addresses, ports, names.

Words: a *network* is a row (store/networks.py) and, when it is first needed, a bridge on this machine with the
gateway's address. An *endpoint* is one container on one network: its address, leased while the container lives, and
its names there. A *veth* pair is the cable: one end in the container (``eth0``), the other on the bridge. A *published
port* is a port of the host that leads to one of a container. The *firewall* is one nftables table of ours per engine.

Of rows these modules know nothing but the values they are given; the kernel they reach through ``linux/``. They are
called by supervise/networks: its networking (for one container), and its bridging. One start walks through the files
like this::

    etcfiles.py     (in the SDK's process) /etc/hosts, /etc/resolv.conf, /etc/hostname, as texts
    publishing.py   (in the monitor, from here on) sockets bound to the host's ports: what is taken is known at once,
                    and nobody else can take what is free
    links.py        one batch of messages: a veth pair, one end on the bridge, one in the container; then one in the
                    container: addresses, routes. The bridge is made when it is not there.
    firewall.py     one transaction: an element for each published port; obstacles.py finds other firewalls in the way
    relay.py        what the firewall cannot translate (IPv6 to a container without) comes to the bound sockets, and is
                    passed on; connection.py is one connection, datagrams.py the clients that have none; budget.py
                    bounds them all, so that nobody outside takes the monitor's last descriptors
    resolver.py     answers the container's questions at 127.0.0.11, on networks that have names; dns.py is the grammar,
                    forwarding.py passes on what others know, conversation.py is DNS over one TCP connection
    waiting.py      what waits for an answer, all for the same time; expiry.py ends what was silent for a while

The monitor is the container's resolver and its relay: both go with it, and there is no other process to lose. A network
namespace takes the cable with it; addresses and elements go in the monitor's last steps, or in those of whoever finds
that it was killed (supervise/recover.py).

An ordinary user's networks are in a network namespace that the user's containers share (keeper.py). Their monitors bind
the published ports outside and go in; from there on everything is as above, and every published port is relayed: its
servers see the bridge as their client. What leaves goes through pasta or slirp4netns (outside.py).
"""
