"""The access log's lines: what they say, and that nothing a client sends can forge them."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from gunicorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.health.state import HEALTH_TOKEN
from paddock.http import ids
from paddock.http.record import Answered, Record
from paddock.logs import atoms
from paddock.logs.access import LONGEST_LINE, AccessLog, Exclude, access_log
from paddock.logs.fast import scope_line
from paddock.logs.logger import Logger
from paddock.settings import log_line
from paddock.settings.table import register
from paddock.workers.front.cycle import Asked

PROPERTY = settings(max_examples=300)

NAMES = st.sampled_from((b"referer", b"user-agent", b"x-request-id", b"authorization", b"x-other", b"traceparent"))
VALUES = st.binary(max_size=40) | st.sampled_from((b'"', b"\\", b"\r\n", b"\xff\xfe", "é".encode(), b"\xed\xa0\x80"))
VALUES |= st.just(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
"""Header fields' values: lone surrogates and invalid UTF-8 as well."""

PATHS = st.binary(max_size=20).map(lambda tail: b"/" + tail)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


class Asgi(Asked):
    """A record of an ASGI application."""

    root_path: ClassVar[str] = ""

    def __init__(
        self, raw: bytes = b"/", query: bytes = b"", headers: Any = (), client: Any = ("192.0.2.1", 5)
    ) -> None:
        self.raw = raw
        self.scope = {
            "method": "GET",
            "http_version": "1.1",
            "query_string": query,
            "headers": list(headers),
            "client": client,
            "server": ("192.0.2.9", 8000),
        }
        self.status, self.sent, self.seconds = 200, 12, 1.25
        self.answer = [(b"Content-Type", b"text/plain"), (b"x-evil", b'a"b\n')]


def wsgi(raw: bytes = b"/", query: bytes = b"", headers: Any = (), client: Any = ("192.0.2.1", 5)) -> Answered:
    """Return a record of a WSGI application, as Gunicorn makes it."""
    fields = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in headers]
    request = SimpleNamespace(
        method="GET", path=raw.decode("latin-1"), query=query.decode("latin-1"), version=(1, 1), headers=fields
    )
    record = Answered(request)
    environ = {"REMOTE_ADDR": client[0] if client else "", "SERVER_NAME": "192.0.2.9"}
    for name, value in fields:
        key = "HTTP_" + name.replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    record.variables = environ
    record.response = SimpleNamespace(
        status_code=200, sent=12, headers=[("Content-Type", "text/plain"), ("x-evil", 'a"b\n')], headers_sent=True
    )
    record.end()
    record.seconds = 1.25
    return record


KINDS = {"asgi": Asgi, "wsgi": wsgi}


@pytest.fixture(params=KINDS)
def record(request: pytest.FixtureRequest) -> Any:
    """What makes a record."""
    return KINDS[request.param]


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Make the access log for settings."""
    register()
    loggers = [logging.getLogger(name) for name in (None, "gunicorn.error", "gunicorn.access", "uvicorn.error")]
    before = [(each, each.__class__, vars(each).copy(), each.handlers[:]) for each in loggers]

    def make(**given: Any) -> AccessLog:
        cfg = Config()
        cfg.set("accesslog", "-")
        cfg.set("access_log_format", log_line.preset(given.pop("access_log_format", "default")))
        for key, value in given.items():
            cfg.set(key, value)
        made = access_log(Logger(cfg), cfg)
        assert made
        return made

    yield make
    logging.captureWarnings(False)
    for each, of_class, attributes, handlers in before:
        each.__class__ = of_class
        vars(each).update(attributes, handlers=handlers)
        logging.Logger.manager._clear_cache()


def test_each_atom_of_a_line_has_a_function() -> None:
    assert tuple(atoms.ATOMS) == log_line.ATOM_NAMES


def lines(record: Record, form: str) -> str:
    """Return a record's line in a format."""
    template, values = atoms.compiled(form)
    return template % tuple(value(record) for value in values)


EXPECTED = {
    "h": "192.0.2.1",
    "l": "-",
    "u": "ada",
    "r": "GET /caf%C3%A9?x=1&y HTTP/1.1",
    "s": "200",
    "m": "GET",
    "U": "/café",
    "q": "x=1&y",
    "H": "HTTP/1.1",
    "b": "12",
    "B": "12",
    "f": "https://example.org/",
    "a": 'a \\"browser\\"',
    "T": "1",
    "D": "1250000",
    "M": "1250",
    "L": "1.250000",
    "p": f"<{os.getpid()}>",
    "{X-Request-ID}i": "an-id",
    "{content-type}o": "text/plain",
    "{x-none}o": "-",
    "{x-none}i": "-",
    "{REMOTE_ADDR}e": "192.0.2.1",
    "{nothing}e": "-",
}


@pytest.mark.parametrize("atom", EXPECTED)
def test_atoms(record: Any, atom: str) -> None:
    headers = [
        (b"referer", b"https://example.org/"),
        (b"user-agent", b'a "browser"'),
        (b"x-request-id", b"an-id"),
        (b"authorization", b"Basic YWRhOnNlY3JldA=="),
    ]
    assert lines(record(b"/caf%C3%A9", b"x=1&y", headers), f"%({atom})s") == EXPECTED[atom]


@pytest.mark.parametrize("form", ["common", "default"])
def test_a_user_with_spaces_shifts_no_field(form: str) -> None:
    name = base64.b64encode(b'ada - [x] "GET / HTTP/1.1" 200:secret').decode()
    made = Asgi(b"/", b"", [(b"authorization", f"Basic {name}".encode())])
    form = log_line.preset(form)
    general = lines(made, form)

    assert general.split(" ")[2] == r"ada\u0020-\u0020[x]\u0020\"GET\u0020/\u0020HTTP/1.1\"\u0020200"
    assert scope_line(form, "", lambda each: lines(each, form))(made).split(" ")[2] == general.split(" ")[2]


def test_time() -> None:
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", lines(Asgi(), "%(t)s"))


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("%(z)s", "there is no atom %(z)s; there are h l u t r s m U q H b B f a T D M L p"),
        ("%({x-id}q)s", "there is no atom %({x-id}q)s"),
        ("%(h)s 100%", "a percent sign of its own is written %%"),
        ("%s", "names no atom"),
        ("%(h", "a percent sign of its own is written %%"),
        ("%(h)", "is not complete"),
        ("%(h)d", "%(h)d"),
        ("%(h)y", "%(h)y"),
        ("combine", "it holds no atom"),
    ],
)
def test_formats_that_are_refused(form: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        log_line.check(log_line.preset(form))


@pytest.mark.parametrize("form", ["default", "COMMON", "combined", "json", "%(s)d %(L)8s %(h)-15s 100%%"])
def test_formats_that_are_taken(form: str) -> None:
    log_line.check(log_line.preset(form))


@pytest.mark.parametrize("form", ["common", "combined", "default", '%({x-other}i)s "%(q)s" %(m)s %(H)s %(D)s%% %(b)s'])
@given(
    raw=PATHS,
    query=VALUES,
    headers=FIELDS,
    root=st.sampled_from(("", "/api")),
)
@PROPERTY
def test_the_fast_way_is_the_general_way(form: str, raw: bytes, query: bytes, headers: Any, root: str) -> None:
    made = Asgi(root.encode() + raw, query, headers)
    form = log_line.preset(form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Asgi, "root_path", root)
        stop_clock(patch)
        assert scope_line(form, root, lambda each: lines(each, form))(made) == lines(made, form)


def test_the_fast_way_to_an_object_is_the_general_way(log: Any) -> None:
    access = log(access_log_format="json")

    @given(
        raw=PATHS | st.just(b""),
        query=VALUES,
        headers=FIELDS,
        root=st.sampled_from(("", "/api")),
        client=st.sampled_from((("192.0.2.1", 5), ("", 0), None)),
        own_id=st.sampled_from(("", "an-id-of-ours")),
    )
    @PROPERTY
    def hold(raw: bytes, query: bytes, headers: Any, root: str, client: Any, own_id: str) -> None:
        made = Asgi(root.encode() + raw, query, headers, client)
        made.request_id = own_id
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Asgi, "root_path", root)
            stop_clock(patch)
            access.serve_scopes(root, lambda _: None)
            assert access.first_line is not access.line
            assert access.first_line(made) == access.object(made)

    hold()


def test_the_fast_way_leaves_what_was_no_request_to_the_general_one() -> None:
    refused = Answered()
    refused.refused_client = "192.0.2.1"
    refused.end(400)

    assert (
        scope_line("%(h)s %(r)s %(s)s", "", lambda each: lines(each, "%(h)s %(r)s %(s)s"))(refused) == "192.0.2.1 - 400"
    )


@given(raw=PATHS, query=VALUES, headers=FIELDS)
@PROPERTY
def test_asgi_and_wsgi_say_the_same_and_nothing_forges_a_line(raw: bytes, query: bytes, headers: Any) -> None:
    form = log_line.COMBINED + ' "%({x-other}i)s" "%(U)s" "%(q)s" "%({x-evil}o)s"'
    with pytest.MonkeyPatch.context() as patch:
        stop_clock(patch)
        said = {lines(make(raw, query, headers), form) for make in KINDS.values()}

    assert len(said) == 1
    line = said.pop()
    assert line.isprintable()
    line.encode("utf-8")
    quoted = r'"(?:[^"\\]|\\.)*"'
    rest = re.sub(quoted, "Q", line)
    assert '"' not in rest
    assert rest.count("Q") == 7


@given(raw=PATHS, query=VALUES, headers=FIELDS)
@PROPERTY
def test_json_is_json(raw: bytes, query: bytes, headers: Any) -> None:
    for form in (log_line.JSON, log_line.DEFAULT_LINE, log_line.COMMON):
        written = AccessLog(Logger(plain()), "json", form, "X-Request-ID")
        for make in KINDS.values():
            line = written.line(make(raw, query, headers))
            assert "\n" not in line
            assert line.isascii()
            found = json.loads(line)
            assert found["logger"] == "gunicorn.access"
            json.dumps(found, ensure_ascii=False).encode("utf-8")


def stop_clock(patch: pytest.MonkeyPatch) -> None:
    """Give all lines the same time: they are made one after the other, and a second may end in between."""
    patch.setattr(atoms, "time", SimpleNamespace(**vars(time) | {"time": lambda: 1.0}))
    for module in ("access", "fast"):
        patch.setattr(f"paddock.logs.{module}.iso", lambda _: "1970-01-01T00:00:01.000+00:00")


def plain() -> Config:
    """Return a configuration with an access log."""
    register()
    cfg = Config()
    cfg.set("accesslog", "-")
    return cfg


def test_keys_of_json(log: Any, record: Any) -> None:
    headers = [(b"referer", b"/from"), (b"user-agent", "café".encode()), (b"x-request-id", b"an-id")]
    found = json.loads(log(log_format="json").line(record(b"/a%20b", b"x=1", headers)))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", found.pop("time"))
    assert found == {
        "level": "info",
        "logger": "gunicorn.access",
        "pid": os.getpid(),
        "message": "GET /a%20b?x=1 HTTP/1.1 200",
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/a b",
        "query": "x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "duration": 1.25,
        "referer": "/from",
        "user_agent": "café",
        "request_id": "an-id",
    }


def test_a_format_of_ones_own_is_the_message_of_json(log: Any, record: Any) -> None:
    found = json.loads(log(log_format="json", access_log_format='%(m)s "%(U)s"').line(record(b"/%22")))

    assert found["message"] == 'GET "/\\""'


def test_json_lines_in_a_log_of_text(log: Any, record: Any, capfd: pytest.CaptureFixture[str]) -> None:
    log(access_log_format="json").ended(record(b"/x"))

    assert json.loads(capfd.readouterr().out)["path"] == "/x"


@pytest.mark.parametrize("form", ["default", "json"])
def test_a_long_line_is_cut_so_that_a_pipe_takes_it_whole(
    log: Any, record: Any, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    headers = [(b"user-agent", b'"\\' * 4000), (b"referer", "é".encode() * 4000)]
    log(access_log_format=form).ended(record(b"/" + b"%41" * 1000, b"q" * 1000, headers))

    written = capfd.readouterr().out
    assert written.count("\n") == 1
    assert len(written.encode()) <= LONGEST_LINE
    assert "…" in (written if form == "default" else json.loads(written)["user_agent"])
    if form == "default":
        assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", written)


def test_id_of_another_header(log: Any, record: Any, capfd: pytest.CaptureFixture[str]) -> None:
    log(request_id_header="X-Correlation-ID").ended(record(headers=[(b"x-correlation-id", b"abc")]))

    assert capfd.readouterr().out.endswith(" 1.250000 abc\n")


@pytest.mark.parametrize(
    ("path", "left_out"),
    [("/static/a.css", True), ("/static", False), ("/ping", True), ("/pingpong", False), ("/api/ping", True)],
)
def test_exclude(path: str, left_out: bool) -> None:
    assert Exclude(["/static/*", "/ping"], "/api").holds(path) is left_out


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ([(b"x-paddock-health", HEALTH_TOKEN.encode())], True),
        ([(b"x-paddock-health", HEALTH_TOKEN.encode()[:-1])], False),
        ([(b"x-paddock-health", b"")], False),
        ([(b"user-agent", b"paddock-health")], False),
    ],
)
def test_who_is_the_health_check(record: Any, headers: Any, is_own: bool) -> None:
    assert record(headers=headers).is_own is is_own


@pytest.mark.parametrize("given_id", [None, "", "with space", 'a"b', "x" * 129, "é", "a,b", "a\n"])
def test_an_id_is_made(given_id: str | None) -> None:
    made = {ids.request_id(given_id) for _ in range(1000)}

    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


@pytest.mark.parametrize("given_id", ["a", "x" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_an_id_is_taken(given_id: str) -> None:
    assert ids.request_id(given_id) == given_id


def test_workers_do_not_give_the_same_ids() -> None:
    ids.request_id(None)
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.write(writer, ids.request_id(None).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)

    assert len(theirs) == 32
    assert theirs not in {ids.request_id(None) for _ in range(1000)}
