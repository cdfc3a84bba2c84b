"""Where this machine's apt gets its packages, for a Debian system of its own or of another suite.

Source: sources.list(5), both of its formats; apt.conf(5).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from containerkit.values import frozen

#: The suites that belong to another one, by what follows its name.
_COMPANIONS = ("-updates", "-security", "-backports", "-proposed-updates", "/updates")
#: Suites that are a stream of packages, with nothing beside.
_ROLLING = ("sid", "unstable", "experimental")
#: Options of the older format that have another name in the newer one.
_OPTIONS = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
#: Which of apt's options are about how something is fetched here, and not about this machine's own packages.
_FETCHING = re.compile(r"Acquire::(http|https|ftp|Check-|M(ax|in)-ValidTime|Retries|ForceIPv|Allow|Proxy|Queue)")


@frozen
class Source:
    """One entry: where, which suites, and which parts of them. ``options`` under their names in the newer format."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        fields = [("Types", "deb"), ("URIs", " ".join(self.uris)), ("Suites", " ".join(self.suites))]
        if self.components:
            fields.append(("Components", " ".join(self.components)))
        return "".join(f"{name}: {value}\n" for name, value in (*fields, *self.options))


def of_machine(etc: Path = Path("/etc/apt")) -> list[Source]:
    """The sources of packages in ``etc``, in apt's order; what cannot be read is left out."""
    found: list[Source] = []
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if path.suffix == ".list":
            found += [source for line in text.splitlines() if (source := _of_line(line)) is not None]
        elif path.suffix == ".sources":
            found += _of_stanzas(text)
    return found


def _of_line(line: str) -> Source | None:
    """``deb [option=value …] URI suite component …``"""
    entry = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s*)?([^#]*)(?:#.*)?", line.strip())
    words = entry[2].split() if entry is not None else []
    if entry is None or len(words) < 2:
        return None
    options = [word.partition("=") for word in (entry[1] or "").split()]
    named = tuple((_OPTIONS.get(name, name.title()), value.replace(",", " ")) for name, _, value in options)
    return Source((words[0],), (words[1],), tuple(words[2:]), named)


def _of_stanzas(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n[ \t]*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = {
            name.title(): value.strip() for name, value in re.findall(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza)
        }
        kinds, uris = fields.pop("Types", "").split(), fields.pop("Uris", "").split()
        suites, components = fields.pop("Suites", "").split(), fields.pop("Components", "").split()
        if "deb" in kinds and uris and suites and fields.pop("Enabled", "yes").lower() in ("yes", "true", "1"):
            yield Source(tuple(uris), tuple(suites), tuple(components), tuple(fields.items()))


def of_suite(suite: str, sources: Iterable[Source]) -> list[Source]:
    """Those of ``sources`` that have the suite and what belongs to it; else the same places, asked for that suite.

    Nothing when there is no place to ask.
    """
    sources = [source for source in sources if not source.uris[0].startswith("cdrom:")]
    found = [kept for source in sources if (kept := _kept(source, suite)) is not None]
    if any(suite in source.suites for source in found):
        return found
    base = next((name for source in sources for name in source.suites if not _is_companion(name)), None)
    if base is None:
        return []
    asked = [
        replace(kept, suites=tuple(suite + name[len(base) :] for name in kept.suites))
        for source in sources
        if (kept := _kept(source, base)) is not None
    ]
    return [source for source in asked if suite in source.suites] if suite in _ROLLING else asked


def _kept(source: Source, suite: str) -> Source | None:
    suites = tuple(name for name in source.suites if name in (suite, *(suite + end for end in _COMPANIONS)))
    return replace(source, suites=suites) if suites else None


def _is_companion(suite: str) -> bool:
    return suite.endswith((*_COMPANIONS, "/"))


def options() -> str:
    """How this machine's apt fetches: proxies, time-outs, credentials; as lines of an apt.conf."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    lines = [line for line in dump.splitlines() if _FETCHING.match(line) and not line.endswith(' "";')]
    for option, path in (("netrc", "/etc/apt/auth.conf"), ("netrcparts", "/etc/apt/auth.conf.d")):
        if os.path.exists(path):
            lines.append(f'Dir::Etc::{option} "{path}";')
    return "".join(f"{line}\n" for line in lines)
