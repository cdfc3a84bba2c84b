"""The firewall: one table, laid once; what comes and goes with a container are elements of its maps.

What it says: containers of one bridge reach each other, others only through what they publish; what is published is
translated, the client's address is kept; nobody from outside reaches into a bridge; of an internal network nothing gets
out; what leaves has this machine's address.

Other tables are not looked at and not touched. A packet that another table drops stays dropped: see ``doctor()``.

Sources: nft(8); Netfilter's hooks and their order, include/uapi/linux/netfilter_ipv4.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import zlib
from collections.abc import Iterable

from containerkit.errors import RuntimeFailure
from containerkit.linux import conntrack, nftables
from containerkit.values import frozen

# Maps by what a port was published at: an address of this machine, or all of them. Bridges by what is allowed there.
_RULES = """
    set bridges { type ifname; }
    set leaving { type ifname; }
    set internal { type ifname; }
    set within { type ifname . ifname; }
    set hairpins4 { type ipv4_addr . ifname; flags interval; }
    set hairpins6 { type ipv6_addr . ifname; flags interval; }
    map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
    map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
    map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
    map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
    chain before {
        type filter hook prerouting priority raw; policy accept;
        # The bridges may route 127.0.0.0/8, for answers; nobody there may ask this machine's loopback, or pass for it.
        ip daddr 127.0.0.0/8 iifname @bridges drop
        ip saddr 127.0.0.0/8 iifname @bridges drop
    }
    chain published {
        dnat ip to ip daddr . meta l4proto . th dport map @at4
        dnat ip to meta l4proto . th dport map @any4
        # ::1 cannot leave the loopback: the relay has it.
        ip6 daddr != ::1 dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
        ip6 daddr != ::1 dnat ip6 to meta l4proto . th dport map @any6
    }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        # Who asks 127.0.0.1 from elsewhere is a neighbour that has no right to: this machine's own go by `output`.
        ip daddr 127.0.0.0/8 accept
        fib daddr type local jump published
    }
    chain output {
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        # To itself or a neighbour by way of a published port: the answer has to come back here. By the address: where
        # bridges' packets pass the firewall (module br_netfilter), they have no incoming link by now.
        ip saddr . oifname @hairpins4 ct status dnat masquerade
        ip6 saddr . oifname @hairpins6 ct status dnat masquerade
        oifname @bridges accept
        iifname @leaving masquerade
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        # First, for it is what most packets are.
        ct state established,related accept
        oifname @bridges jump into
        iifname @internal drop
    }
    chain into {
        iifname . oifname @within accept
        iifname @internal drop
        ct status dnat accept
        drop
    }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state new iifname @internal drop
    }
"""


_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_ANY = ("", "0.0.0.0", "::")


@frozen
class Bridge:
    """What the firewall knows of a bridge.

    Args:
        nets: its subnets.
        internal: nothing of it gets out.
        among: its containers reach each other.
        masquerade: what leaves has this machine's address.
    """

    name: str
    nets: tuple[str, ...] = ()
    internal: bool = False
    among: bool = True
    masquerade: bool = True

    def elements(self) -> list[str]:
        """Its elements, as ``SET { ELEMENT }``."""
        found = [f'bridges {{ "{self.name}" }}']
        found += [f'hairpins{6 if ":" in net else 4} {{ {net} . "{self.name}" }}' for net in self.nets]
        if self.internal:
            found.append(f'internal {{ "{self.name}" }}')
        elif self.masquerade:
            found.append(f'leaving {{ "{self.name}" }}')
        if self.among:
            found.append(f'within {{ "{self.name}" . "{self.name}" }}')
        return found


@frozen
class Translation:
    """What comes to ``host_port`` of ``host_ip`` goes to ``port`` of ``address``.

    An empty ``host_ip`` is every address, ``0.0.0.0`` every one of IPv4, ``::`` of IPv6.
    """

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int

    @property
    def is_possible(self) -> bool:
        """Whether both ends speak the same IP; what cannot be translated is relayed."""
        return not self.host_ip or (":" in self.host_ip) == (":" in self.address)

    def element(self) -> nftables.Element:
        """As the kernel has it: key and target, each part on four bytes."""
        is_v6 = ":" in self.address
        key = bytes([_PROTOCOLS[self.protocol], 0, 0, 0]) + struct.pack("!HH", self.host_port, 0)
        name = f"any{6 if is_v6 else 4}"
        if self.host_ip not in _ANY:
            name, key = f"at{6 if is_v6 else 4}", _packed(self.host_ip) + key
        return nftables.Element(name, key, _packed(self.address) + struct.pack("!HH", self.port, 0))

    def text(self) -> str:
        """The same as nft(8) takes it."""
        version = 6 if ":" in self.address else 4
        key = f"{self.protocol} . {self.host_port}"
        name = f"any{version}"
        if self.host_ip not in _ANY:
            name, key = f"at{version}", f"{self.host_ip} . {key}"
        return f"{name} {{ {key} : {self.address} . {self.port} }}"


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def table_of(root: str) -> str:
    """The name of the table of the engine with that root."""
    return f"containerkit_{zlib.crc32(root.encode()):08x}"


class Firewall:
    """The table of one engine, in the network namespace that the caller is in."""

    def __init__(self, root: str) -> None:
        self.table = table_of(root)
        self._open: nftables.Channel | None = None

    @property
    def _channel(self) -> nftables.Channel:
        if self._open is None:
            self._open = nftables.Channel.take()
        return self._open

    def settle(self) -> None:
        """Close what is open: for processes that live on, once there is time (see ``nftables.Channel``)."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def keep(self) -> None:
        """Leave what is open to the next one in this process."""
        if self._open is not None:
            self._open.keep()
            self._open = None

    def is_laid(self) -> bool:
        """Whether the table is there."""
        return self._channel.has_table(self.table)

    def add(self, translations: Iterable[Translation]) -> None:
        """Translate these, too.

        Raises:
            OSError: the table is not there, or another one is in the way.
        """
        wanted = list(translations)
        self._channel.add(self.table, [one.element() for one in wanted])
        _look_up_anew(wanted)

    def remove(self, translations: Iterable[Translation]) -> bool:
        """Translate these no more. False: they were not there, all or some."""
        gone = list(translations)
        try:
            self._channel.delete(self.table, [one.element() for one in gone])
        except OSError:
            return False
        finally:
            _look_up_anew(gone)
        return True

    def lay(self, bridges: Iterable[Bridge], translations: Iterable[Translation]) -> None:
        """Lay the table anew, with all that belongs into it, in one transaction."""
        name = f"inet {self.table}"
        # Made first: what is not there cannot be deleted.
        commands = [f"table {name} {{ }}", f"delete table {name}", f"table {name} {{{_RULES}}}"]
        commands += [f"add element {name} {element}" for bridge in bridges for element in bridge.elements()]
        commands += [f"add element {name} {one.text()}" for one in translations]
        nftables.run("\n".join(commands))

    def add_bridge(self, bridge: Bridge) -> None:
        """Let a bridge in."""
        nftables.run(self._commands("add", bridge))

    def remove_bridge(self, bridge: Bridge) -> bool:
        """Forget a bridge. False: it was not there."""
        try:
            nftables.run(self._commands("delete", bridge))
        except RuntimeFailure:
            return False
        return True

    def _commands(self, verb: str, bridge: Bridge) -> str:
        return "\n".join(f"{verb} element inet {self.table} {element}" for element in bridge.elements())

    def take_down(self) -> None:
        """Remove the table; one that is not there is no error."""
        nftables.run(f"table inet {self.table} {{ }}\ndelete table inet {self.table}")


def _look_up_anew(changed: Iterable[Translation]) -> None:
    """Clients whose datagrams went to who was there before reach who is there now."""
    ports = [one.host_port for one in changed if one.protocol == "udp"]
    if ports:
        with contextlib.suppress(OSError):  # a kernel without: they come round after 30 seconds of silence
            conntrack.forget(ports)
