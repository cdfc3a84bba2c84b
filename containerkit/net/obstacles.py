"""What of the machine's other firewalls stands in our containers' way.

Every table is asked about every packet, and one that drops has the last word: Docker's sets the policy of FORWARD to
drop, and so do many people's. We touch no table but ours; what has to be let through is said.

Source: nft(8), "CHAINS"; libnftables-json(5).
"""

from __future__ import annotations

import json
from typing import Any

from containerkit.linux import nftables
from containerkit.values import frozen


@frozen
class Obstacle:
    """A chain that drops what it does not know.

    Args:
        chain: ``ip filter FORWARD``.
        mend: the commands that let our bridges through.
    """

    chain: str
    mend: str


def look(bridges: tuple[str, ...]) -> list[Obstacle]:
    """Those on this machine.

    Args:
        bridges: names of ours.
    """
    return find(json.loads(nftables.run("list ruleset", json=True) or "{}").get("nftables", []), bridges)


def find(ruleset: list[dict[str, Any]], bridges: tuple[str, ...]) -> list[Obstacle]:
    """Those in a ruleset, as libnftables-json(5) has it."""
    chains = [one["chain"] for one in ruleset if "chain" in one]
    found = []
    for chain in chains:
        if chain.get("hook") != "forward" or chain.get("policy") != "drop":
            continue
        if not _lets_through(ruleset, chain, bridges):
            name = f"{chain['family']} {chain['table']} {chain['name']}"
            found.append(Obstacle(name, _mend(chain, chains)))
    return found


def _lets_through(ruleset: list[dict[str, Any]], chain: dict[str, Any], bridges: tuple[str, ...]) -> bool:
    """Whether its table has rules that accept what comes from our bridges, and what goes there."""
    accepted: dict[str, set[str]] = {"iifname": set(), "oifname": set()}
    for one in ruleset:
        rule = one.get("rule", {})
        if (rule.get("family"), rule.get("table")) != (chain["family"], chain["table"]):
            continue
        if not any("accept" in part for part in rule.get("expr", ())):
            continue
        for part in rule["expr"]:
            match = part.get("match", {})
            key = match.get("left", {}).get("meta", {}).get("key") if isinstance(match.get("left"), dict) else None
            if key in accepted and match.get("op") == "==":
                accepted[key].add(str(match["right"]))
    return all(any(_covers(pattern, name) for pattern in accepted[key]) for key in accepted for name in bridges)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _mend(chain: dict[str, Any], chains: list[dict[str, Any]]) -> str:
    family, table, name = chain["family"], chain["table"], chain["name"]
    if table == "filter" and name == "FORWARD" and family in ("ip", "ip6"):
        program = "iptables" if family == "ip" else "ip6tables"
        # Docker lays its own anew, and keeps this one.
        there = {one["name"] for one in chains if one["family"] == family and one["table"] == table}
        target = "DOCKER-USER" if "DOCKER-USER" in there else "FORWARD"
        return "; ".join(f"{program} -I {target} -{way} ck+ -j ACCEPT" for way in "io")
    return "; ".join(f"nft insert rule {family} {table} {name} {way}ifname 'ck*' accept" for way in "io")
