"""What is damaged in a store, in words: of which images it is, and how to get them anew."""

from __future__ import annotations

from collections.abc import Sequence

from containerkit.oci.reference import Reference
from containerkit.store.store import Store
from containerkit.store.verify import Damage

#: So many are told one by one.
_SHOWN = 10


def text(store: Store, damages: Sequence[Damage]) -> str:
    """What is damaged, and of which images."""
    texts = [f"{damage.text} ({_owners(store, damage.images)})" for damage in damages[:_SHOWN]]
    more = [f"and {len(damages) - _SHOWN} more"] if len(damages) > _SHOWN else []
    return "; ".join([*texts, *more])


def mend(store: Store, damages: Sequence[Damage]) -> str:
    """What gets the images anew."""
    ids = sorted({id for damage in damages for id in damage.images})
    return "; ".join(dict.fromkeys(_renewal(store, id) for id in ids)) or "nothing: it was of no image, and is gone"


def mend_layers(damages: Sequence[Damage]) -> str:
    """What gets the layers anew."""
    held = sorted({damage.held for damage in damages if damage.held})
    if held:
        return f"stop container {', '.join(held)}, then ck.doctor(verify=True)"
    return "nothing: each is unpacked anew when it is needed"


def _owners(store: Store, ids: Sequence[str]) -> str:
    return f"of {', '.join(_name(store, id) for id in ids)}" if ids else "of no image"


def _name(store: Store, id: str) -> str:
    tags, digests = store.images.names(id)
    return next(iter((*tags, *digests)), id)


def _renewal(store: Store, id: str) -> str:
    """A pull, by a tag of a repository that is known to have the image, or by digest; or none."""
    tags, digests = store.images.names(id)
    places = {Reference.parse(digest).name for digest in digests}
    known = [tag for tag in tags if Reference.parse(tag).name in places]
    for name in (*known, *digests):
        return f'ck.pull("{name}")'
    return f"make {_name(store, id)} anew, or remove it"
