"""Any environment: what is wrong is reported and never raised; what is accepted, Gunicorn accepts too.

The environments are made from the table of settings itself, by the kind of each setting's parser, so that a setting
that is added is tested as well. A parser of a kind that this file does not know fails the test.
"""

from __future__ import annotations

import json
import os
import socket
import string
import sys
from functools import partial
from pathlib import Path

import pytest
from gunicorn import config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddock.errors import ConfigurationError
from paddock.settings.environment import resolve
from paddock.settings.parsers import (
    BindAddress,
    Boolean,
    Checked,
    Choice,
    Directory,
    Either,
    Headers,
    Integer,
    Items,
    JsonObject,
    LogConfig,
    LogFile,
    LogLevel,
    Parser,
    ReadableFile,
    Seconds,
    Size,
    Text,
    TrustedProxies,
    WritableDirectory,
    parse,
)
from paddock.settings.table import SETTINGS, Setting, register
from paddock.start import checks
from paddock.start.configuration import Configuration

TLS = Path(__file__).parent / "tls"

PROPERTY = settings(max_examples=150, suppress_health_check=list(HealthCheck))

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=60)
"""What an environment variable can hold."""

WORD = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)


def spelled(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return the words, in any case."""
    return st.sampled_from([spelling for word in words for spelling in (word, word.upper(), word.title())])


def text_of(setting: Setting, parser: Text) -> st.SearchStrategy[str]:
    """Return valid text for a setting whose parser, or that of its items, takes text of some pattern."""
    by_name = {
        "GUNICORN_CONF": st.just(f"{__file__}.conf.py"),
        "WORKER_CLASS": st.sampled_from(("auto", "uvicorn", "gthread", "sync", "gunicorn.workers.sync.SyncWorker")),
        "HOST": st.sampled_from(("127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0")),
        "CIPHERS": st.sampled_from(("ECDHE+AESGCM", "HIGH:!aNULL")),
    }
    if setting.name in by_name:
        return by_name[setting.name]
    if parser.pattern == Text().pattern:
        return WORD
    texts = st.from_regex(parser.pattern, fullmatch=True).filter(lambda text: text.isprintable())
    return texts if parser is setting.parser else texts.filter(lambda text: "," not in text)


def valid(setting: Setting, parser: Parser) -> st.SearchStrategy[str]:
    """Return text that the parser takes."""
    match parser:
        case Integer(least=least, most=most):
            return st.integers(least, most if most is not None else 10**6).map(str)
        case Seconds(most=most, optional=optional):
            numbers = st.floats(0, most).map(lambda number: f"{number:.3f}") | st.integers(0, int(most)).map(str)
            return numbers | st.just("none") if optional else numbers
        case Size(least=least):
            mebibytes = st.integers(-(-least // 2**20), 2**20)
            return mebibytes.map(lambda n: f"{n}MiB") | mebibytes.map(lambda n: str(n * 2**20))
        case Boolean():
            return spelled(("true", "false", "yes", "no", "on", "off", "1", "0"))
        case Choice(choices=choices):
            return spelled(choices)
        case Either(word=word, otherwise=otherwise):
            return spelled((word,)) | valid(setting, otherwise)
        case Items(item=item):
            return st.lists(valid(setting, item), min_size=1, max_size=3, unique=True).map(",".join)
        case BindAddress():
            hosts = st.sampled_from(("127.0.0.1", "0.0.0.0", "[::1]", "localhost", "app.internal"))
            tcp = st.builds("{}:{}".format, hosts, st.integers(0, 65535))
            addresses = tcp | WORD.map("unix:/tmp/{}.sock".format)
            return addresses | st.integers(3, 9).map("fd://{}".format) if "fd://" in parser.expected else addresses
        case LogLevel():
            names = ("debug", "info", "warning", "error", "critical", "trace", "notset", "warn", "fatal")
            return spelled(names) | st.integers(0, 100).map(str)
        case LogFile():
            return st.sampled_from(("-", "none", "NONE", "/tmp/paddock-property.log"))
        case LogConfig():
            return st.just(str(Path(__file__).with_name("log_config.json")))
        case ReadableFile():
            return st.just(str(TLS / ("localhost.key" if setting.name == "KEYFILE" else "localhost.crt")))
        case Directory() | WritableDirectory():
            return st.just("/tmp")
        case TrustedProxies():
            networks = st.ip_addresses().map(str) | st.sampled_from(("10.0.0.0/8", "fd00::/8", "192.168.0.0/16"))
            return st.just("*") | st.lists(networks, min_size=1, max_size=3).map(",".join)
        case Headers() | JsonObject():
            name = st.text(string.ascii_letters + "-", min_size=1, max_size=12)
            return st.dictionaries(name, WORD, max_size=3).map(json.dumps)
        case Text():
            return text_of(setting, parser)
        case Checked():
            return {
                "ACCESS_LOG_FORMAT": st.sampled_from(("%(h)s", '%(h)s "%(r)s" %(s)s %(L)s', "%(a)s 100%%", "json")),
                "APP_MODULE": st.sampled_from(("app.main:app", "main:create_app()", "main:create_app", "wsgi")),
                "CERT_REQS": st.sampled_from(("0", "1", "2")),
            }[setting.name]
    raise AssertionError(f"{setting.name} has a parser of a kind that is not known here: {parser}")


def accepts(setting: Setting, text: str) -> bool:
    """Whether a setting takes this text, by the table's own word; what it raises must be a ValueError."""
    try:
        parse(setting.parser, text.strip())
    except ValueError:
        return False
    return True


def invalid(setting: Setting) -> st.SearchStrategy[str]:
    """Return text that the setting refuses: far off, or next to what it takes."""
    near = valid(setting, setting.parser).flatmap(
        lambda text: st.sampled_from((f"{text}x", f"-{text}", f"{text},", f"{text} {text}", text[:-1], f"{text}\n;"))
    )
    odd = st.sampled_from(
        ("-1", "1e3", "²", "٣", "0x10", "nan", "inf", "1_000", "9" * 5000, "[" * 3000, "{", "[]", "null", "%", "%(h)q")
    )
    return (TEXT | near | odd).filter(lambda text: bool(text.strip()) and not accepts(setting, text))


def refuses_something(setting: Setting) -> bool:
    """Whether there is text that the setting refuses."""
    return not (isinstance(setting.parser, Text) and setting.parser.pattern == Text().pattern)


STRICT = [setting for setting in SETTINGS if refuses_something(setting)]
NOT_ALONE = {
    "GUNICORN_CONF": "it names a file",
    "IGNORE_ENV": "it names other settings",
    "REQUIRED_ENV": "it asks for further variables",
    "REQUIRED_FILES": "it asks for files",
    "SECRETS_ENV": "it asks for further variables",
}
EASY = [setting for setting in SETTINGS if setting.name not in NOT_ALONE]


def environments(settings_: list[Setting], values) -> st.SearchStrategy[dict[str, str]]:
    """Return environments that set some of the settings, each by one of its names."""

    def some(chosen: list[Setting]) -> st.SearchStrategy[dict[str, str]]:
        return st.fixed_dictionaries({setting: values(setting) for setting in chosen}).flatmap(named)

    def named(texts: dict[Setting, str]) -> st.SearchStrategy[dict[str, str]]:
        names = st.tuples(*(st.sampled_from(setting.variables) for setting in texts))
        return names.map(lambda keys: dict(zip(keys, texts.values(), strict=True)))

    return st.lists(st.sampled_from(settings_), min_size=1, max_size=6, unique=True).flatmap(some)


@PROPERTY
@given(environments(STRICT, invalid))
def test_invalid_environment_is_reported(environ):
    result = resolve(environ)
    # A Kubernetes service link is passed over, and nothing else may be.
    passed_over = {name for name in environ if any(name in warning for warning in result.warnings)}
    assert {problem.name for problem in result.problems} >= set(environ) - passed_over
    for problem in result.problems:
        assert "\n" not in str(problem)
        assert len(str(problem)) < 2000


@PROPERTY
@given(environments(EASY, lambda setting: valid(setting, setting.parser)))
def test_valid_environment_is_accepted_by_gunicorn(environ):
    register()
    result = resolve(environ)
    assert result.problems == []
    cfg = config.Config()
    for key, value in result.values.items():
        if key in cfg.settings and value.value is not None:
            cfg.set(key, value.value)


@PROPERTY
@given(st.dictionaries(st.text(string.ascii_uppercase + "_", min_size=1, max_size=30), TEXT, max_size=8))
def test_any_environment(environ):
    resolve(environ)


@PROPERTY
@given(st.data())
def test_any_setting_of_gunicorn(data):
    """GUNICORN_<NAME> for every setting that Gunicorn has, with any text."""
    names = [setting.name for setting in config.KNOWN_SETTINGS if setting.section != "Paddock"]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    plausible = TEXT | st.integers(-5, 10**7).map(str) | st.sampled_from(("true", "no", "/tmp", "{}", "a,b", "root"))
    environ = {f"GUNICORN_{name.upper()}": data.draw(plausible) for name in chosen}
    result = resolve(environ)
    register()
    cfg = config.Config()
    for key, value in result.values.items():
        if key in cfg.settings and value.value is not None:
            cfg.set(key, value.value)


@pytest.fixture
def application(tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text("def app(environ, start_response): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    # Names that come of chance are no traffic for a resolver.
    numeric = socket.AI_NUMERICHOST
    monkeypatch.setattr(checks.socket, "getaddrinfo", partial(socket.getaddrinfo, flags=numeric))
    return tmp_path


@PROPERTY
@given(environ=environments(SETTINGS, lambda setting: valid(setting, setting.parser) | TEXT))
def test_whole_configuration_never_raises_anything_else(application, environ):
    """Every layer and every check of settings together."""
    try:
        server = Configuration([], environ)
    except ConfigurationError:
        return
    assert server.cfg.workers >= 1
    server.cfg.worker_class  # noqa: B018 (a property that loads the class)
