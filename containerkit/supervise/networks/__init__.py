"""Networks, from a container's point of view: which it is on, and how it gets there.

From the SDK's side::

    design.py       a new network's row: what is asked for is checked, what nobody says is chosen
    membership.py   what a container wants of networks before its start; connected, disconnected, removed
    sharing.py      an ordinary user's network namespace, found or made

and in the monitor, which keeps one container's networks as long as it runs::

    networking.py   published ports are set up here, cables plugged, names answered
    bridging.py     what containers share, bridges and the firewall, when it is not there: under one lock
    segments.py     rows become what net/ takes; pure
    inside.py       an ordinary user's monitor goes where its networks are
    keeping.py      a spare becomes the keeper of that place (net/keeper.py)

The kernel's side is :mod:`containerkit.net`; rows are store/networks and store/leasing.
"""
