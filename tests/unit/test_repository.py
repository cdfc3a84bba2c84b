"""The verbs of the distribution specification, with a registry that does as it likes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from containerkit.configuration import Registries
from containerkit.errors import InvalidArgument, NotFound, RegistryError, StorageError, Unsupported
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor
from containerkit.registry import catalogue, credentials
from containerkit.registry import repository as repositories
from containerkit.registry.connections import Broken
from containerkit.registry.repository import Repository
from containerkit.registry.sessions import Session
from tests.loopback import Answer, Clock, Handler, Web, breaks, says, stalls

DATA = b"0123456789" * 10
DIGEST = digests.of(DATA)
BLOB = Descriptor("", DIGEST, len(DATA))
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": oci.OCI_MANIFEST, "config": {}, "layers": []}).encode()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of the test's own: nobody's logins are read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(credentials, "_RUN", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def session(clock: Clock) -> Session:
    return Session(Registries(certs=()), clock)


@pytest.fixture
def app(web: Web, session: Session) -> Repository:
    """The repository ``team/app`` of the server."""
    web.on("/v2/", says(200, b"{}"))
    return session.repository(session.hosts(web.authority)[0], "team/app")


def asked(web: Web) -> list[str]:
    return [f"{request.method} {request.path}" for request in web.requests if request.path != "/v2/"]


# -- manifests -------------------------------------------------------------------------------------------------------


def test_a_manifest_is_got_by_tag_and_digest(web: Web, app: Repository) -> None:
    digest = digests.of(MANIFEST)
    answer = says(200, MANIFEST, Content_Type=oci.OCI_MANIFEST, Docker_Content_Digest=digest)
    for reference in ("1", digest):
        web.on(f"/v2/team/app/manifests/{reference}", answer)
        assert app.manifest(reference) == (Descriptor(oci.OCI_MANIFEST, digest, len(MANIFEST)), MANIFEST)
    accepted = web.requests[-1].headers["Accept"]
    assert all(kind in accepted for kind in (*oci.MANIFESTS, *oci.INDEXES))


@pytest.mark.parametrize(
    ("reference", "answer", "kind", "words"),
    [
        ("1", says(404, b"x"), NotFound, "team/app:1: not found"),
        ("1", says(200, MANIFEST, Docker_Content_Digest=DIGEST), RegistryError, f"is .*, and was to be {DIGEST}"),
        (DIGEST, says(200, MANIFEST), RegistryError, f"its manifest is .*, and was to be {DIGEST}"),
        (DIGEST, says(200, MANIFEST, Docker_Content_Digest=digests.of(MANIFEST)), RegistryError, "was to be"),
        ("1", says(200, b"x" * ((4 << 20) + 1)), RegistryError, "registry .*: an answer of more than 4194304 bytes"),
        ("1", says(200, b"<html>", Content_Type="text/html"), InvalidArgument, "team/app:1: not JSON"),
        ("1", says(200, b"{}", Content_Type="text/html"), InvalidArgument, r"neither .* nor an index \(text/html\)"),
        ("1", says(200, b'{"schemaVersion": 1}'), Unsupported, "a manifest of schema 1"),
        ("1", says(403, b'{"errors": [{"message": "no"}]}'), RegistryError, r"denied: .* \(403 forbidden: no\)"),
        ("1", says(429, b"", Retry_After="999"), RegistryError, "too many requests: try again later, or log in"),
        ("1", says(500), Broken, "500 internal server error"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_had_is_an_error(
    web: Web, app: Repository, reference: str, answer: Answer, kind: type[Exception], words: str
) -> None:
    web.on(f"/v2/team/app/manifests/{reference}", answer)
    with pytest.raises(kind, match=f"^registry {web.authority}: .*{words.removeprefix('registry .*: ')}"):
        app.manifest(reference)


def test_a_manifest_is_put(web: Web, app: Repository) -> None:
    web.on("/v2/team/app/manifests/1", says(201))
    app.put_manifest("1", oci.OCI_MANIFEST, MANIFEST)
    (request,) = web.requests[1:]
    assert (request.method, request.body, request.headers["Content-Type"]) == ("PUT", MANIFEST, oci.OCI_MANIFEST)
    web.on("/v2/team/app/manifests/1", says(400, b'{"errors": [{"code": "MANIFEST_INVALID"}]}'))
    with pytest.raises(RegistryError, match="team/app:1: 400 bad request: MANIFEST_INVALID$"):
        app.put_manifest("1", oci.OCI_MANIFEST, MANIFEST)


# -- blobs -----------------------------------------------------------------------------------------------------------

PATH = f"/v2/team/app/blobs/{DIGEST}"


def test_a_blob_is_read_from_where_it_was_broken_off(web: Web, app: Repository) -> None:
    web.on(PATH, says(200, DATA))
    with app.blob(DIGEST) as (response, offset):
        assert (response.text(1000), offset) == (DATA, 0)
    web.on(PATH, says(206, DATA[40:], Content_Range=f"bytes 40-99/{len(DATA)}"))
    with app.blob(DIGEST, 40) as (response, offset):
        assert (response.text(1000), offset) == (DATA[40:], 40)
    assert [request.headers["Range"] for request in web.requests[1:]] == [None, "bytes=40-"]
    # A registry without ranges begins anew.
    web.on(PATH, says(200, DATA))
    with app.blob(DIGEST, 40) as (response, offset):
        assert (response.text(1000), offset) == (DATA, 0)


@pytest.mark.parametrize("told", ["bytes 41-99/100", "bytes 0-99/100", "", "41", "bytes 400-499/500", "x" * 999])
def test_another_part_than_was_asked_for_is_refused(web: Web, app: Repository, told: str) -> None:
    web.on(PATH, says(206, DATA[41:], Content_Range=told))
    with pytest.raises(RegistryError, match="asked from byte 40 on, got .") as raised, app.blob(DIGEST, 40):
        pass
    assert len(str(raised.value)) < 300


def test_a_small_blob_is_what_its_digest_says(web: Web, app: Repository) -> None:
    web.on(PATH, says(200, DATA))
    assert app.small_blob(BLOB) == DATA
    web.on(PATH, says(200, DATA[:-1] + b"x"))
    with pytest.raises(RegistryError, match="received 100 bytes with digest sha256:"):
        app.small_blob(BLOB)
    web.on(PATH, says(200, DATA[:-1]))
    with pytest.raises(RegistryError, match="received 99 bytes"):
        app.small_blob(BLOB)
    web.on(PATH, says(200, DATA + b"x"))
    with pytest.raises(RegistryError, match="an answer of more than 100 bytes"):
        app.small_blob(BLOB)
    web.on(PATH, says(404))
    with pytest.raises(NotFound, match=f"team/app: blob {DIGEST}: not found"):
        app.small_blob(BLOB)
    web.requests.clear()
    for size in (-1, (4 << 20) + 1):
        with pytest.raises(RegistryError, match=f"{size} bytes, more than 4194304"):
            app.small_blob(Descriptor("", DIGEST, size))
    assert web.requests == []


def test_a_registry_is_asked_whether_it_has_a_blob(web: Web, app: Repository) -> None:
    web.on(PATH, says(200, DATA), says(404), says(403))
    assert app.has_blob(DIGEST) and not app.has_blob(DIGEST)
    with pytest.raises(RegistryError, match="denied"):
        app.has_blob(DIGEST)
    assert asked(web) == [f"HEAD {PATH}"] * 3


def test_a_blob_is_taken_over_from_a_sister(web: Web, app: Repository) -> None:
    path = f"/v2/team/app/blobs/uploads/?mount={DIGEST.replace(':', '%3A')}&from=team%2Fbase"
    web.on(path, says(201), says(202, Location="/up/7"), says(404), says(202), says(405))
    assert [app.mount(DIGEST, "team/base") for _ in range(5)] == [True, False, False, False, False]
    # An upload that it has begun instead is ended.
    assert asked(web) == [f"POST {path}", f"POST {path}", "DELETE /up/7", *[f"POST {path}"] * 3]
    web.requests.clear()
    web.on(path, says(202, Location="http://169.254.169.254/latest"))
    with pytest.raises(RegistryError, match="sends the upload to .*, an address of this machine or its link"):
        app.mount(DIGEST, "team/base")
    assert asked(web) == [f"POST {path}"]


# -- uploads ---------------------------------------------------------------------------------------------------------


class Uploads:
    """A registry's end points for uploads; ``plan`` may give other answers, in order, by method."""

    def __init__(self, web: Web) -> None:
        self.web, self.data, self.number = web, b"", 0
        self.plan: dict[str, list[Answer | None]] = {}
        self.least = ""
        web.otherwise = self._answer

    def _answer(self, handler: Handler) -> None:
        planned = self.plan.get(handler.command) or [None]
        other = planned.pop(0)
        request = self.web.requests[-1]
        if other is not None:
            other(handler)
        elif handler.command == "HEAD":
            says(404)(handler)
        elif handler.command == "POST":
            self.data, self.number = b"", self.number + 1
            says(202, Location=f"/up/{self.number}?state=0", OCI_Chunk_Min_Length=self.least)(handler)
        elif handler.command == "GET":
            says(204, Location=self._place(), Range=f"0-{max(0, len(self.data) - 1)}")(handler)
        else:
            begin = (request.headers["Content-Range"] or "0-").partition("-")[0]
            if int(begin) != len(self.data):
                says(416)(handler)
                return
            self.data += request.body
            says(201 if handler.command == "PUT" else 202, Location=self._place())(handler)

    def _place(self) -> str:
        return f"/up/{self.number}?state={len(self.data)}"


@pytest.fixture
def uploads(web: Web, app: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    monkeypatch.setattr(repositories, "PIECE", 40)
    yield Uploads(web)


def source(data: bytes = DATA) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def upload(app: Repository, data: bytes = DATA) -> list[int]:
    told: list[int] = []
    app.upload(Descriptor("", digests.of(data), len(data)), source(data), told.append)
    return told


def sent(web: Web) -> list[tuple[str, str | None, int]]:
    return [(r.method, r.headers["Content-Range"], len(r.body)) for r in web.requests if r.method in ("PATCH", "PUT")]


def test_a_small_blob_is_sent_at_once(web: Web, app: Repository, uploads: Uploads) -> None:
    for data in (b"", b"x", DATA[:40]):
        web.requests.clear()
        assert upload(app, data)[-1] == len(data)
        assert uploads.data == data and sent(web) == [("PUT", None, len(data))]
        expected = f"PUT /up/{uploads.number}?state=0&digest={digests.of(data).replace(':', '%3A')}"
        assert asked(web) == ["POST /v2/team/app/blobs/uploads/", expected]


def test_a_large_blob_is_sent_in_pieces(web: Web, app: Repository, uploads: Uploads) -> None:
    told = upload(app)
    assert uploads.data == DATA and told == sorted(told) and told[-1] == 100
    assert sent(web) == [("PATCH", "0-39", 40), ("PATCH", "40-79", 40), ("PUT", "80-99", 20)]
    assert [r.path for r in web.requests if r.method == "PATCH"] == ["/up/1?state=0", "/up/1?state=40"]


@pytest.mark.parametrize(("least", "pieces"), [("60", 2), ("10", 3), ("x", 3), ("\xb2", 3), ("9" * 20, 3), ("-5", 3)])
def test_pieces_are_as_large_as_the_registry_wants(
    web: Web, app: Repository, uploads: Uploads, least: str, pieces: int
) -> None:
    uploads.least = least
    upload(app)
    assert uploads.data == DATA and len(sent(web)) == pieces


@pytest.mark.parametrize("fault", [breaks, says(500), says(502), says(429), says(416), says(408)])
def test_an_upload_that_is_broken_off_goes_on(
    web: Web, app: Repository, uploads: Uploads, clock: Clock, fault: Answer
) -> None:
    uploads.plan = {"PATCH": [None, fault], "PUT": [fault]}
    upload(app)
    assert uploads.data == DATA and uploads.number == 1 and len(clock.pauses) == 2
    assert [begin for _, begin, _ in sent(web)] == ["0-39", "40-79", "40-79", "80-99", "80-99"]


def test_a_busy_registry_says_how_long_to_wait_with_the_next_piece(
    app: Repository, uploads: Uploads, clock: Clock
) -> None:
    uploads.plan = {"PATCH": [says(429, Retry_After="7"), says(503, Retry_After="9999")]}
    upload(app)
    assert clock.pauses == [7.0, 60.0]


def test_an_upload_that_the_registry_has_forgotten_begins_anew(web: Web, app: Repository, uploads: Uploads) -> None:
    there = [says(204, Location="/x", Range=found) for found in ("nonsense", "0-" + "9" * 5000, "0-99", "")]
    for answer in (says(404), says(204), says(204, Range="0-39"), *there):
        number = uploads.number
        uploads.plan = {"PATCH": [None, says(500)], "GET": [answer]}
        upload(app)
        assert uploads.data == DATA and uploads.number == number + 2


def test_a_piece_of_which_a_part_has_arrived_is_not_sent_again(web: Web, app: Repository, uploads: Uploads) -> None:
    def takes_half(handler: Handler) -> None:
        uploads.data += web.requests[-1].body[:25]
        says(503)(handler)

    uploads.plan = {"PATCH": [None, takes_half]}
    upload(app)
    assert uploads.data == DATA
    assert sent(web)[2:] == [("PUT", "65-99", 35)]


def test_a_blob_whose_last_answer_was_lost_is_not_sent_again(web: Web, app: Repository, uploads: Uploads) -> None:
    uploads.plan = {"PUT": [breaks], "GET": [says(404)], "HEAD": [says(200)]}
    assert upload(app)[-1] == 100
    assert len(sent(web)) == 3 and uploads.number == 1


def test_an_upload_that_never_gets_further_is_given_up(
    web: Web, app: Repository, uploads: Uploads, clock: Clock
) -> None:
    uploads.plan = {"PATCH": [None, *[says(500, b'{"errors":[{"message":"disk"}]}')] * 99]}
    with pytest.raises(Broken, match=f"^registry .*: team/app: blob {DIGEST}: 500 internal server error: disk$"):
        upload(app)
    assert len(clock.pauses) == 4


def test_an_upload_that_gets_further_each_time_may_break_often(app: Repository, uploads: Uploads, clock: Clock) -> None:
    data = bytes(1000)
    uploads.plan = {"PATCH": [one for _ in range(24) for one in (None, breaks)]}
    upload(app, data)
    assert uploads.data == data and len(clock.pauses) == 23


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
def test_an_upload_that_is_refused_is_not_tried_again(
    web: Web, app: Repository, uploads: Uploads, clock: Clock, status: int
) -> None:
    uploads.plan = {"PATCH": [says(status)]}
    with pytest.raises(RegistryError):
        upload(app)
    assert len(sent(web)) == 1 and clock.pauses == []


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
def test_an_upload_goes_nowhere_where_a_registry_has_no_business(
    web: Web, app: Repository, uploads: Uploads, method: str
) -> None:
    for target in ("http://169.254.169.254/up", "http://[", "ftp://x/"):
        there = says(204 if method == "GET" else 202, Location=target, Range="0-39")
        uploads.plan = {method: [there], "PATCH": [there if method == "PATCH" else None, says(500)]}
        with pytest.raises(RegistryError, match="sends the upload to "):
            upload(app)
    uploads.plan = {"POST": [says(202)]}
    with pytest.raises(RegistryError, match="an upload without a place to go on$"):
        upload(app)


def test_an_upload_elsewhere_is_not_shown_our_login(
    web: Web, other: Web, app: Repository, uploads: Uploads, session: Session
) -> None:
    credentials.store(web.authority, credentials.Credentials("ada", "pa55"))
    away = other.url("/up")
    other.otherwise = says(201)
    uploads.plan = {"POST": [says(401, b"", WWW_Authenticate="Basic"), says(202, Location=away)]}
    upload(app, b"x")
    assert "Authorization" in web.requests[-1].headers
    assert [("Authorization" in request.headers, request.body) for request in other.requests] == [(False, b"x")]


def test_a_blob_that_becomes_shorter_is_an_error(app: Repository, uploads: Uploads) -> None:
    with pytest.raises(StorageError, match="^blob: became shorter while it was sent$"):
        app.upload(BLOB, source(DATA[:90]), lambda count: None)


# -- lists -----------------------------------------------------------------------------------------------------------

TAGS = "/v2/team/app/tags/list"


def listed(*tags: Any, **headers: str) -> Answer:
    return says(200, json.dumps({"name": "team/app", "tags": list(tags)}).encode(), **headers)


def test_tags_are_read_over_all_pages(web: Web, app: Repository) -> None:
    web.on(TAGS, listed("b", "c", Link=f'<{TAGS}?n=2&last=c>; rel="next"'))
    web.on(f"{TAGS}?n=2&last=c", listed("a", Link=f"<{web.url(TAGS)}?last=a>;rel=next"))
    web.on(f"{TAGS}?last=a", listed(7, None, "d", Link='</other>; rel="prev"'))
    assert app.tags() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "answer",
    [
        *(says(200, b'{"tags": %b}' % odd) for odd in (b"null", b"7", b'"abc"', b'{"a": 1}', b"true")),
        *(says(200, odd) for odd in (b"[]", b"7", b"{}")),
        *(listed(Link=odd) for odd in ("<", "<" * 5000, "<>;")),
    ],
)
def test_a_list_that_is_none_is_empty(web: Web, app: Repository, answer: Answer) -> None:
    web.on(TAGS, answer)
    assert app.tags() == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(200, b"x"), "registry {}: an answer that is not JSON"),
        (says(404), "registry {}: team/app: not found"),
        (listed(Link='<http://169.254.169.254/>; rel="next"'), "registry {}: team/app: continues to http://169"),
        (listed(Link='<http://[/>; rel="next"'), "registry {}: team/app: continues to "),
        (stalls(200, b"{"), "not done after 0.3 s"),
        (says(200, b'{"tags": ["' + b"x" * (9 << 20)), "registry {}: an answer of more than 8388608 bytes"),
    ],
)
def test_a_list_that_cannot_be_had_is_an_error(web: Web, answer: Answer, words: str) -> None:
    session = Session(Registries(certs=()), Clock(0.3 if "0.3" in words else None))
    web.on("/v2/", says())
    web.on(TAGS, answer)
    with pytest.raises((RegistryError, NotFound, TimeoutError), match=re.escape(words.format(web.authority))):
        session.repository(session.hosts(web.authority)[0], "team/app").tags()


def test_a_list_that_never_ends_is_given_up(web: Web, app: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    from containerkit.registry import api

    monkeypatch.setattr(api, "_PAGES", 20)
    web.on(TAGS, listed("a", Link=f'<{TAGS}>; rel="next"'))
    assert app.tags() == ["a"] * 20 and len(asked(web)) == 20


# -- search ----------------------------------------------------------------------------------------------------------


def test_a_private_registry_s_catalogue_is_searched(web: Web, session: Session) -> None:
    web.on("/v2/", says())
    names = ["team/app", "team/base", "empty/app", "other"]
    web.on("/v2/_catalog", says(200, json.dumps({"repositories": names}).encode()))
    web.on("/v2/team/app/tags/list", listed("2", "1"))
    web.on("/v2/empty/app/tags/list", says(404))
    found = catalogue.search("app", web.authority, session, 25)
    assert [(one.name, one.tags) for one in found] == [
        (f"{web.authority}/empty/app", ()), (f"{web.authority}/team/app", ("1", "2")),
    ]  # fmt: skip
    assert [one.name for one in catalogue.search("", web.authority, session, 2)] == [
        f"{web.authority}/empty/app", f"{web.authority}/other",
    ]  # fmt: skip
    web.on("/v2/_catalog", says(404))
    with pytest.raises(RegistryError, match=f"^registry {web.authority}: has no catalogue$"):
        catalogue.search("app", web.authority, session, 25)


@pytest.mark.parametrize("odd", [None, 7, "x", {}, [7, None, [], {"name": 5}]])
def test_odd_answers_of_docker_hub_are_survived(monkeypatch: pytest.MonkeyPatch, session: Session, odd: Any) -> None:
    rows = [{"name": "busybox", "description": None, "star_count": 9, "is_official": True}, {"star_count": "x"}]
    answers = [{"results": rows}, {"results": odd}, odd]

    class Api:
        host = "registry docker.io"

        def request(self, method: str, url: str) -> Any:
            assert url == "https://index.docker.io/v1/search?q=a+b%26c&n=25"
            return self

        def expect(self, *_: object) -> None: ...

        def __enter__(self) -> Api:
            return self

        def __exit__(self, *_: object) -> None: ...

        def json(self, limit: int) -> Any:
            return answers.pop(0)

    monkeypatch.setattr(Session, "api", lambda *_: Api())
    first, second = catalogue.search("a b&c", "docker.io", session, 25)
    assert (first.name, first.description, first.stars, first.official) == ("busybox", "", 9, True)
    assert (second.name, second.stars, second.official) == ("", 0, False)
    for _ in range(2):
        assert all(one.stars == 0 for one in catalogue.search("a b&c", "docker.io", session, 25))
