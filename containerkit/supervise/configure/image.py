"""What the image says of a container's whole life: stop signal, labels, health check."""

from __future__ import annotations

from dataclasses import replace

from containerkit.oci.image_config import ContainerConfig, HealthConfig
from containerkit.options import Duration, Healthcheck, Settings
from containerkit.supervise import messages


def inherit(settings: Settings, image: ContainerConfig) -> Settings:
    """The caller's options with what the image says of a container's whole life: stop signal, labels, health check."""
    return replace(
        settings,
        stop_signal=settings.stop_signal or image.stop_signal,
        labels={**(image.labels or {}), **(settings.labels or {})} or None,
        healthcheck=_healthcheck(settings.healthcheck, image.healthcheck),
    )


def _healthcheck(given: Healthcheck | None, image: HealthConfig | None) -> Healthcheck | None:
    """Member by member: the caller's, the image's (in nanoseconds, 0 for unset)."""
    if given is None and image is None:
        return None
    given, image = given or Healthcheck(), image or HealthConfig()

    def seconds(member: str) -> Duration | None:
        own: Duration | None = getattr(given, member)
        return own if own is not None else max(getattr(image, member), 0) / 1e9 or None

    times = {name: seconds(name) for name in ("interval", "timeout", "start_period", "start_interval")}
    retries = given.retries if given.retries is not None else max(image.retries, 0) or None
    return Healthcheck(test=given.test or image.test, retries=retries, **times)


def probe(check: Healthcheck | None) -> messages.Probe | None:
    """What the monitor shall do for a health check; docker's defaults where nobody says."""
    form, *words = (check.test if check is not None else ()) or ("NONE",)
    if check is None or form not in ("CMD", "CMD-SHELL") or not words:
        return None
    seconds = {
        name: float(value if (value := getattr(check, name)) is not None else default)
        for name, default in (("interval", 30), ("timeout", 30), ("start_period", 0), ("start_interval", 5))
    }
    return messages.Probe(
        args=("/bin/sh", "-c", words[0]) if form == "CMD-SHELL" else tuple(words), retries=check.retries or 3, **seconds
    )
