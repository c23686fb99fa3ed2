"""The table of settings: each variable of the image is declared here, once.

The check, `gunicorn_conf.py`, `paddock config`, `paddock settings` and the README's table all come from it. A setting
that Gunicorn does not have is made known to Gunicorn too (`register`), so that a user's Gunicorn file and the command
line can set it like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paddock.settings import app_module, log_line
from paddock.settings.parsers import (
    LEVELS,
    MEBIBYTE,
    BindAddress,
    Boolean,
    Checked,
    Choice,
    Directory,
    Either,
    Headers,
    Integer,
    Items,
    LogConfig,
    LogFile,
    LogLevel,
    OwnAddress,
    Parser,
    Port,
    ReadableFile,
    Seconds,
    Size,
    Text,
    TrustedProxies,
    WritableDirectory,
    parse,
)

AUTO = "auto"

SHUTDOWN_SHARE = 0.25
"""The part of the graceful timeout that is kept for shutdown code: the arbiter kills at its end."""

OWN_PREFIX = "PADDOCK_"
"""What every variable may begin with, and wins over its plain name then."""


@dataclass(frozen=True)
class Setting:
    """One variable.

    `default` is the value as a user would spell it, or None when there is none. `sets` is the name of the Gunicorn
    setting; empty when Gunicorn has none. `aliases` are further variables that are read when the first is unset, in
    order. `secret` says that its type has room for a secret, so that its value is never shown. `start_only` marks what
    is used up before Gunicorn's configuration is made, so a Gunicorn file cannot set it.
    """

    name: str
    parser: Parser
    default: str | None
    section: str
    help: str
    sets: str = ""
    aliases: tuple[str, ...] = ()
    secret: bool = False
    start_only: bool = False

    @property
    def key(self) -> str:
        """The name in Gunicorn's configuration: its own, or the variable's in lower case."""
        return self.sets or self.name.lower()

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that sets it, in order of precedence, with those that no application uses for its own."""
        return tuple(variable for name in self.names for variable in (OWN_PREFIX + name, name))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of those without OWN_PREFIX; Gunicorn's own spelling of the name is the last."""
        return (self.name, *self.aliases, *([f"GUNICORN_{self.sets.upper()}"] if self.sets else []))


def _words(*choices: str) -> Choice:
    return Choice(choices)


APPLICATION = "Application"
PROCESSES = "Workers"
SOCKET = "Network"
LIMITS = "Limits"
PROXIES = "Behind a proxy"
TLS = "TLS"
LOGGING = "Logging"
METRICS = "Metrics"
START = "Start"
HEALTH = "Health"
DEVELOPMENT = "Development"
UVICORN = "Uvicorn (ASGI only)"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "APP_MODULE",
        Checked(app_module.FORM, app_module.checked),
        None,
        APPLICATION,
        "The application. Unset: found in `main.py`, `app.py`, `app/main.py`, `src/…`, `asgi.py`, `wsgi.py` or by "
        "Django's `manage.py`. A factory is called.",
        sets="wsgi_app",
    ),
    Setting(
        "APP_TYPE",
        _words(AUTO, "asgi", "asgi2", "wsgi"),
        AUTO,
        APPLICATION,
        "What the application is. `auto` looks at the loaded object's signature.",
    ),
    Setting(
        "GUNICORN_CONF",
        Text("the path of a Python file, or python:module"),
        None,
        APPLICATION,
        "Your own Gunicorn file, applied over the environment; its hooks run together with the image's. Unset: "
        "`/app/gunicorn_conf.py` or `/app/gunicorn.conf.py` if there.",
        start_only=True,
    ),
    Setting(
        "WORKERS",
        Either(AUTO, Integer(1, 1024)),
        AUTO,
        PROCESSES,
        "Worker processes. `auto`: the container's CPU limit rounded up, as far as 0.8 of its memory limit holds "
        "workers of 128 MiB, at most `MAX_WORKERS`: a node's 64 cores say nothing about the container's share. Limits "
        "that change while it runs are followed.",
        sets="workers",
        aliases=("WEB_CONCURRENCY",),
    ),
    Setting(
        "MAX_WORKERS",
        Integer(1, 1024),
        "16",
        PROCESSES,
        "The most workers that `WORKERS=auto` starts; beyond it more containers serve better than more workers.",
        start_only=True,
    ),
    Setting(
        "THREADS",
        Integer(1, 1024),
        "4",
        PROCESSES,
        "Threads in each worker that call the application. WSGI only: an ASGI worker has one event loop. 4 keep a "
        "worker busy while some wait for a database. One that waits for a slow client leaves its place to another, "
        "but for a single one, which is alone in the application.",
        sets="threads",
    ),
    Setting(
        "WORKER_CLASS",
        Text("auto, uvicorn, gthread, another of Gunicorn's, or a dotted path", r"[\w.:#]+"),
        AUTO,
        PROCESSES,
        "`auto` picks the image's Uvicorn worker for ASGI and `gthread`, its threads, for WSGI; `sync` is the same. "
        "Gunicorn's own have paths, such as `gunicorn.workers.gthread.ThreadWorker`. One that cannot serve the "
        "application is refused.",
        sets="worker_class",
    ),
    Setting(
        "TIMEOUT",
        Integer(0, 86400, "seconds"),
        "30",
        PROCESSES,
        "A worker whose event loop does not turn for so long is killed and replaced, with a traceback in the log; 0 "
        "never. One with a thread whose WSGI application has shown nothing of an answer for so long takes no more "
        "requests and is replaced; what its other threads do is finished.",
        sets="timeout",
    ),
    Setting(
        "GRACEFUL_TIMEOUT",
        Integer(1, 86400, "seconds"),
        "8",
        PROCESSES,
        "How long a stopping server may finish requests and run shutdown code. 8, because `docker stop` kills "
        "after 10 seconds and then no shutdown code runs.",
        sets="graceful_timeout",
    ),
    Setting(
        "MAX_REQUESTS",
        Integer(0),
        "0",
        PROCESSES,
        "A worker is replaced after so many requests, which bounds a memory leak; 0 never. Counted once a second.",
        sets="max_requests",
    ),
    Setting(
        "MAX_REQUESTS_JITTER",
        Integer(0),
        None,
        PROCESSES,
        "Up to so many requests more, at random, so that workers are not replaced all at once. Unset: a tenth of "
        "`MAX_REQUESTS`.",
        sets="max_requests_jitter",
    ),
    Setting(
        "MAX_WORKER_MEMORY",
        Either(AUTO, Size(16 * MEBIBYTE)),
        None,
        PROCESSES,
        "A worker that holds more resident memory than this, such as `512MiB`, is replaced gracefully. `auto`: nine "
        "tenths of the container's limit, shared by the workers and one that is to replace another. Unset: never.",
    ),
    Setting(
        "BOOT_TIMEOUT",
        Integer(0, 86400, "seconds"),
        "120",
        PROCESSES,
        "How long a worker may take to import the application and to start it up, 0 without end. Longer than "
        "`TIMEOUT`, because a cold start may wait for a database.",
    ),
    Setting(
        "DRAIN_DELAY",
        Seconds(),
        "0",
        PROCESSES,
        "Seconds between SIGTERM and the end of accepting, for load balancers that learn late that the container goes; "
        "part of `GRACEFUL_TIMEOUT`. Answers say `Connection: close` meanwhile.",
    ),
    Setting(
        "PRELOAD_APP",
        Boolean(),
        "false",
        PROCESSES,
        "Import the application once, before the workers start: less memory, but threads, connections and event "
        "loops made at import do not survive the fork.",
        sets="preload_app",
    ),
    Setting(
        "WORKER_TMP_DIR",
        WritableDirectory(),
        None,
        PROCESSES,
        "Where heartbeats and the state file live. Unset: the first of `/dev/shm`, `/run` and `/tmp` that can be "
        "written, the state file in `/run/paddock` where that is mounted; a disk would make workers look dead when it "
        "is slow.",
        sets="worker_tmp_dir",
    ),
    Setting(
        "BIND",
        Items(BindAddress(), "host:port, [IPv6]:port, unix:/path or fd://number; several separated by commas"),
        "0.0.0.0:8000",
        SOCKET,
        "Where to listen. 8000, because ports below 1024 may need a privilege that the image does without.",
        sets="bind",
    ),
    Setting(
        "HOST",
        Text("a host name or an address", r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?"),
        None,
        SOCKET,
        "The host part of `BIND` when that is unset.",
        start_only=True,
    ),
    Setting(
        "PORT",
        Port(),
        None,
        SOCKET,
        "The port part of `BIND` when that is unset, as many platforms set it.",
        start_only=True,
    ),
    Setting(
        "KEEP_ALIVE",
        Integer(0, 86400, "seconds"),
        "65",
        SOCKET,
        "How long an idle connection stays open. 65, longer than the 60 seconds of common load balancers: a shorter "
        "one gives their users 502s.",
        sets="keepalive",
    ),
    Setting(
        "LIMIT_REQUEST_LINE",
        Integer(0, 8190, "bytes"),
        "4094",
        LIMITS,
        "A longer request line is answered with 414; 0 is no limit. 4094, Gunicorn's default, is twice what some "
        "proxies and browsers let through.",
        sets="limit_request_line",
    ),
    Setting(
        "LIMIT_REQUEST_FIELDS",
        Integer(1, 32768),
        "100",
        LIMITS,
        "More header fields are answered with 431. 100, as in Gunicorn: several times what a browser and a chain of "
        "proxies send.",
        sets="limit_request_fields",
    ),
    Setting(
        "LIMIT_REQUEST_FIELD_SIZE",
        Integer(1, MEBIBYTE, "bytes"),
        "8190",
        LIMITS,
        "A longer header field is answered with 431. 8190, as in Gunicorn, is about twice a browser's largest cookie.",
        sets="limit_request_field_size",
    ),
    Setting(
        "REQUEST_HEAD_TIMEOUT",
        Seconds(),
        "10",
        LIMITS,
        "Seconds from accepting a connection, or from the first byte of a later request on it, until the request's "
        "head is complete; then it is closed, with a 408 if there was a byte. 0 without end. 10, because a head is a "
        "packet or two: who takes longer means to hold the connection.",
    ),
    Setting(
        "REQUEST_BODY_TIMEOUT",
        Seconds(),
        "30",
        LIMITS,
        "Seconds that may pass without a byte of a body that is not complete, and over which at least 500 bytes a "
        "second must come; then the connection is closed, with a 408 if no answer has begun. 0 without end. It does "
        "not count while the application reads nothing. 30, because mobile networks pause for some seconds and come "
        "back.",
    ),
    Setting(
        "RESPONSE_TIMEOUT",
        Seconds(),
        "60",
        LIMITS,
        "Seconds for which a client may take nothing of an answer, or of a stream of events; then it is cut off. 0 "
        "without end. One that takes a little now and then may go on for as long as it likes. 60, as long as nginx "
        "waits (`send_timeout`).",
    ),
    Setting(
        "REQUEST_BODY_BUFFER",
        Size(0),
        "1MiB",
        LIMITS,
        "WSGI only: so much of a body is received before a thread is taken for the request; more is read as the "
        "application asks for it. 1 MiB holds nearly all forms, and costs a slow client no thread.",
    ),
    Setting(
        "FORWARDED_ALLOW_IPS",
        TrustedProxies(),
        "127.0.0.1,::1",
        PROXIES,
        "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. `*`, where nothing else can reach the "
        "container, believes whoever connects, and the last address that they name. On a Unix socket everyone is "
        "believed.",
        sets="forwarded_allow_ips",
    ),
    Setting(
        "ROOT_PATH",
        Text("a path such as /api, in ASCII, without a slash at its end", r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+"),
        None,
        PROXIES,
        "The path under which a proxy publishes the application, whether or not the proxy strips it. `SCRIPT_NAME` is "
        "Gunicorn's word for it.",
        sets="root_path",
        aliases=("SCRIPT_NAME",),
    ),
    Setting(
        "PROXY_PROTOCOL",
        _words("off", "v1", "v2", AUTO),
        "off",
        PROXIES,
        "Read the client's address from the PROXY protocol, which comes before TLS and HTTP.",
        sets="proxy_protocol",
    ),
    Setting(
        "PROXY_ALLOW_IPS",
        TrustedProxies(),
        "127.0.0.1,::1",
        PROXIES,
        "Proxies that may send the PROXY protocol; from others it is answered with 403. `*` is everyone.",
        sets="proxy_allow_ips",
    ),
    Setting(
        "CERTFILE", ReadableFile(), None, TLS, "The certificate and its chain (PEM); turns TLS on.", sets="certfile"
    ),
    Setting(
        "KEYFILE",
        ReadableFile(),
        None,
        TLS,
        "The private key (PEM). Unset: it is in `CERTFILE`.",
        sets="keyfile",
    ),
    Setting("KEYFILE_PASSWORD", Text(), None, TLS, "The password of an encrypted private key.", secret=True),
    Setting(
        "CA_CERTS",
        ReadableFile(),
        None,
        TLS,
        "The authorities that sign clients' certificates (mutual TLS).",
        sets="ca_certs",
    ),
    Setting(
        "CERT_REQS",
        Checked("0 (none), 1 (optional) or 2 (required)", lambda text: ["0", "1", "2"].index(text)),
        "0",
        TLS,
        "Whether clients must show a certificate.",
        sets="cert_reqs",
    ),
    Setting(
        "CIPHERS",
        Text(),
        "ECDHE+AESGCM:ECDHE+CHACHA20",
        TLS,
        "OpenSSL's list of ciphers for TLS 1.2. The default: those with forward secrecy and authenticated encryption.",
        sets="ciphers",
    ),
    Setting(
        "LOG_LEVEL",
        LogLevel(),
        "info",
        LOGGING,
        "The least severe message that is logged: by the application's loggers, Gunicorn's and Uvicorn's. Python's "
        "other names (`WARN`, `FATAL`, `NOTSET`) and its numbers are understood, in any case. `trace` is Uvicorn's "
        "level 5, with connections and ASGI messages; Gunicorn has nothing below `debug`. `notset` and 0 are all.",
        sets="loglevel",
    ),
    Setting(
        "LOG_FORMAT",
        _words("text", "json"),
        "text",
        LOGGING,
        "Lines for people, or one JSON object a line: what the image, the servers and Python's `logging` write.",
    ),
    Setting(
        "LOG_CONFIG",
        LogConfig(),
        None,
        LOGGING,
        "A file with a dictionary for Python's `logging.config.dictConfig`: `.json`, `.toml`, or `.py` that sets "
        "`LOGGING`. Then every line goes where it says, and looks as it says.",
    ),
    Setting("ACCESS_LOG", LogFile(), "-", LOGGING, "One line for each request, on stdout.", sets="accesslog"),
    Setting("ERROR_LOG", LogFile(), "-", LOGGING, "Everything else, on stderr.", sets="errorlog"),
    Setting(
        "ACCESS_LOG_FORMAT",
        Checked(log_line.EXPECTED, log_line.preset),
        "default",
        LOGGING,
        "The access log's line, the same for ASGI and WSGI: a preset or Gunicorn's atoms. `default` is `combined` with "
        "the response time in seconds and the request's id; `json` is one object a line, as with `LOG_FORMAT=json`.",
        sets="access_log_format",
    ),
    Setting(
        "ACCESS_LOG_EXCLUDE",
        Items(
            Text("a path, or the beginning of paths and *", r"/[^*\s]*\*?"),
            "paths separated by commas; one that ends with * stands for all that begin so, such as /static/*",
        ),
        None,
        LOGGING,
        "Requests that get no line in the access log.",
    ),
    Setting(
        "ACCESS_LOG_HEALTH",
        Boolean(),
        "false",
        LOGGING,
        "Show the requests of the image's own health check in the access log.",
    ),
    Setting(
        "REQUEST_ID_HEADER",
        Text("none, or a header's name", r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"),
        "X-Request-ID",
        LOGGING,
        "The header that a request's id comes in, or is made for, and that the answer has too: one that a client sends "
        "is taken if it is 1 to 128 letters, digits and `._~:/+=@-`. `none`: no ids.",
    ),
    Setting(
        "METRICS_BIND",
        OwnAddress(),
        None,
        METRICS,
        "Where Prometheus finds `/metrics`, such as `0.0.0.0:9090`: a port of its own, so that what is published for "
        "users does not show it. With the application's own metrics if it uses `prometheus_client`. Unset: nowhere.",
    ),
    Setting(
        "REQUIRED_ENV",
        Items(Text("a variable's name", r"[A-Za-z_][A-Za-z0-9_]*"), "names of variables separated by commas"),
        None,
        START,
        "Variables without which the container shall not start; empty counts as missing.",
        start_only=True,
    ),
    Setting(
        "REQUIRED_FILES",
        Items(Text(), "paths separated by commas"),
        None,
        START,
        "Files without which the container shall not start; an empty one or a directory counts as missing.",
        start_only=True,
    ),
    Setting(
        "SECRETS_ENV",
        Items(Text("a variable's name", r"[A-Za-z_][A-Za-z0-9_]*"), "names of variables separated by commas"),
        None,
        START,
        "Variables of the application that are read from the file that `NAME_FILE` names, as those of this table "
        "are: `SECRETS_ENV=DB_PASSWORD` with `DB_PASSWORD_FILE=/run/secrets/db`.",
        start_only=True,
    ),
    Setting(
        "IGNORE_ENV",
        Items(Text("a variable's name", r"[A-Za-z_][A-Za-z0-9_]*"), "names of variables separated by commas"),
        None,
        START,
        "Variables that are the application's, although settings have their names: `IGNORE_ENV=LOG_FORMAT,TIMEOUT`. "
        "`PADDOCK_LOG_FORMAT` sets the image's all the same.",
        start_only=True,
    ),
    Setting(
        "HEALTHCHECK_PATH",
        Text("a path that starts with /", r"/[^\s#]*"),
        None,
        HEALTH,
        "What the health check asks for: 2xx and 3xx are healthy. Unset: `/`, and anything below 500 is.",
    ),
    Setting(
        "READY_PATH",
        Text("a path that starts with /", r"/[^\s?#]*"),
        None,
        HEALTH,
        "A path that the image answers in front of the application, for readiness probes and load balancers: 200 when "
        "it serves, 503 while it starts or drains. Not in the access log. Unset: none.",
    ),
    Setting(
        "LIVE_PATH",
        Text("a path that starts with /", r"/[^\s?#]*"),
        None,
        HEALTH,
        "A path that the image answers in front of the application with 200 as long as the server lives, also while it "
        "starts, drains, or has no thread left, for liveness probes. Not in the access log. Unset: none.",
    ),
    Setting(
        "RELOAD",
        Boolean(),
        "false",
        DEVELOPMENT,
        "Restart the workers when a file changes; where the code does not start, wait for the next change. There is "
        "one worker then, and no time limit for a debugger to run into, unless `WORKERS`, `TIMEOUT` and `BOOT_TIMEOUT` "
        "are set.",
        sets="reload",
    ),
    Setting(
        "RELOAD_DIRS",
        Items(Directory(), "paths of directories separated by commas"),
        None,
        DEVELOPMENT,
        "What is watched, with everything below but hidden directories, `__pycache__`, `node_modules` and virtual "
        "environments. Unset: the working directory.",
    ),
    Setting(
        "RELOAD_INCLUDES",
        Items(Text(), "patterns separated by commas, such as *.html,.env"),
        None,
        DEVELOPMENT,
        "Files that matter besides `*.py`.",
    ),
    Setting(
        "RELOAD_EXCLUDES",
        Items(Text(), "patterns separated by commas, such as tests,*_local.py"),
        None,
        DEVELOPMENT,
        "Files and directories that do not matter.",
    ),
    Setting(
        "UVICORN_LIFESPAN",
        _words(AUTO, "on", "off"),
        AUTO,
        UVICORN,
        "`on`: a failure in lifespan startup ends the start.",
    ),
    Setting("UVICORN_LOOP", _words(AUTO, "asyncio", "uvloop"), AUTO, UVICORN, "The event loop; `auto` is uvloop."),
    Setting(
        "UVICORN_HTTP",
        _words(AUTO, "h11", "httptools", "zttp"),
        AUTO,
        UVICORN,
        "The HTTP parser; `auto` is httptools; `zttp` must be installed by the application, and knows no limits.",
    ),
    Setting("UVICORN_HTTP2", Boolean(), "false", UVICORN, "Serve HTTP/2 too; needs `UVICORN_HTTP=zttp`."),
    Setting(
        "UVICORN_WS",
        _words(AUTO, "none", "websockets", "websockets-sansio", "wsproto"),
        AUTO,
        UVICORN,
        "The WebSocket implementation.",
    ),
    Setting("UVICORN_WS_MAX_SIZE", Integer(1, unit="bytes"), "16777216", UVICORN, "The largest WebSocket message."),
    Setting("UVICORN_WS_MAX_QUEUE", Integer(1), "32", UVICORN, "How many received WebSocket messages may wait."),
    Setting("UVICORN_WS_PING_INTERVAL", Seconds(optional=True), "20", UVICORN, "Seconds between WebSocket pings."),
    Setting(
        "UVICORN_WS_PING_TIMEOUT",
        Seconds(optional=True),
        "20",
        UVICORN,
        "Seconds a WebSocket may take to answer a ping.",
    ),
    Setting("UVICORN_WS_PER_MESSAGE_DEFLATE", Boolean(), "true", UVICORN, "Compress WebSocket messages."),
    Setting(
        "UVICORN_LIMIT_CONCURRENCY",
        Integer(1),
        None,
        UVICORN,
        "Answer 503 while so many requests run in one worker. Connections that ask for nothing do not count, nor do "
        "WebSockets; the health check and `READY_PATH` are answered in any case.",
    ),
    Setting(
        "UVICORN_PROXY_HEADERS",
        Boolean(),
        "true",
        UVICORN,
        "Believe forwarded headers of `FORWARDED_ALLOW_IPS` at all.",
    ),
    Setting("UVICORN_SERVER_HEADER", Boolean(), "false", UVICORN, "Send `Server: uvicorn`."),
    Setting("UVICORN_DATE_HEADER", Boolean(), "true", UVICORN, "Send `Date`."),
    Setting("UVICORN_HEADERS", Headers(), None, UVICORN, "Headers that every answer gets.", secret=True),
    Setting(
        "UVICORN_H11_MAX_INCOMPLETE_EVENT_SIZE",
        Integer(1, unit="bytes"),
        None,
        UVICORN,
        "The largest unfinished request head when `UVICORN_HTTP=h11`.",
    ),
    Setting(
        "UVICORN_RESET_CONTEXTVARS", Boolean(), "false", UVICORN, "Give every request an empty context (contextvars)."
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_KEY = {setting.key: setting for setting in SETTINGS}

UVICORN_REPLACED = {
    "APP": "APP_MODULE",
    "FACTORY": "APP_MODULE",
    "HOST": "HOST",
    "PORT": "PORT",
    "UDS": "BIND",
    "FD": "BIND",
    "WORKERS": "WORKERS",
    "RELOAD": "RELOAD",
    "RELOAD_DIRS": "RELOAD_DIRS",
    "RELOAD_INCLUDES": "RELOAD_INCLUDES",
    "RELOAD_EXCLUDES": "RELOAD_EXCLUDES",
    "INTERFACE": "APP_TYPE",
    "LOG_LEVEL": "LOG_LEVEL",
    "ACCESS_LOG": "ACCESS_LOG",
    "FORWARDED_ALLOW_IPS": "FORWARDED_ALLOW_IPS",
    "ROOT_PATH": "ROOT_PATH",
    "BACKLOG": "GUNICORN_BACKLOG",
    "LIMIT_MAX_REQUESTS": "MAX_REQUESTS",
    "LIMIT_MAX_REQUESTS_JITTER": "MAX_REQUESTS_JITTER",
    "TIMEOUT_KEEP_ALIVE": "KEEP_ALIVE",
    "TIMEOUT_GRACEFUL_SHUTDOWN": "GRACEFUL_TIMEOUT",
    "SSL_KEYFILE": "KEYFILE",
    "SSL_CERTFILE": "CERTFILE",
    "SSL_KEYFILE_PASSWORD": "KEYFILE_PASSWORD",
    "SSL_CERT_REQS": "CERT_REQS",
    "SSL_CA_CERTS": "CA_CERTS",
    "SSL_CIPHERS": "CIPHERS",
}
"""Uvicorn's options that Gunicorn reaches, and the variable to use instead of `UVICORN_<NAME>`."""


def register() -> None:
    """Make the image's own settings known to Gunicorn, for `Config` objects that are created from then on.

    Gunicorn collects subclasses of its `Setting` as they are defined, which is how its own are made
    (https://github.com/benoitc/gunicorn/blob/master/gunicorn/config.py). Calling it again does nothing.
    """
    from gunicorn import config, glogging  # 80 ms, which commands that only pass secrets on do without

    glogging.Logger.LOG_LEVELS.update(LEVELS)
    known = {setting.name for setting in config.KNOWN_SETTINGS}
    taken = {flag for setting in config.KNOWN_SETTINGS for flag in setting.cli or ()}
    for setting in SETTINGS:
        if not setting.sets and not setting.start_only and setting.key not in known:
            type(config.Setting)(setting.key, (config.Setting,), _declaration(setting, taken))


def _declaration(setting: Setting, taken: set[str]) -> dict[str, Any]:
    """Return what Gunicorn needs to know of `setting`; a flag that is `taken` stays Gunicorn's own (--log-config)."""
    flag = "--" + setting.key.replace("_", "-")

    def validate(value: Any) -> Any:
        return parse(setting.parser, value) if isinstance(value, str) else value

    return {
        "name": setting.key,
        "section": "Paddock",
        "cli": [] if flag in taken else [flag],
        "meta": "VALUE",
        "validator": validate,
        "default": setting.default,
        "desc": setting.help,
    }
