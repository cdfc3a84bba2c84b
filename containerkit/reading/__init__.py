"""What is to be known of containers and networks, read when somebody asks.

================================  ==================================================================
``inspection``                    ``inspect()``, ``history()``, ``explain()``: all that is written down
``template``                      the templates that ``inspect(format=…)`` takes
``listing``                       which containers there are, and who runs
``top``                           a container's processes
``mountinfo``                     what is mounted in it
``connections`` ``netinfo``       where it is to be reached; its network, seen from inside
``netgraph``                      who is on which network, drawn
``logs`` ``logpages``             its log as lines; a log of any size, a window at a time
``event``                         what happened, as it is written down and as it comes
================================  ==================================================================
"""
