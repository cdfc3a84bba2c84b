"""All cases, by what they are about."""

from __future__ import annotations

from tests.peers.builds.case import Case
from tests.peers.builds.corpus import adding, copying, copyoptions, ignoring, refused, running, settings, stages, syntax

CASES: tuple[Case, ...] = (
    *stages.CASES,
    *running.CASES,
    *copying.CASES,
    *copyoptions.CASES,
    *ignoring.CASES,
    *adding.CASES,
    *settings.CASES,
    *syntax.CASES,
    *refused.CASES,
)
