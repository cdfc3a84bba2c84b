"""P9, P10: the course's first image, a page and its server, with two more commands."""

from __future__ import annotations

from pathlib import Path

DOCKERFILE = """\
FROM bench
MAINTAINER bench
COPY index.html /web/html/index.html
RUN mkdir -p /web/logs && echo begun > /web/logs/access
RUN wc -c /web/html/index.html > /web/size
EXPOSE 80/tcp
CMD ["httpd", "-f", "-h", "/web/html"]
"""


def context(scratch: Path) -> Path:
    """The directory with the files; made when it is not there."""
    place = scratch / "web"
    if not place.exists():
        place.mkdir()
        (place / "Dockerfile").write_text(DOCKERFILE)
        (place / "index.html").write_text("<h1>It works</h1>\n" * 100)
    return place
