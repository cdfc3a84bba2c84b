"""P8: what is written into the log."""

from __future__ import annotations

#: 200 MB in lines of 64 characters; made once and copied, for `yes` is slower than any log.
LOAD = (
    "yes 123456789012345678901234567890123456789012345678901234567890123 | head -c 2000000 >/tmp/lines;"
    "i=0; while [ $i -lt 100 ]; do cat /tmp/lines; i=$((i+1)); done"
)
