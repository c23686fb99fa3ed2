"""Image default < environment < user's Gunicorn file < GUNICORN_CMD_ARGS < command line, on the live process."""

import json

import pytest

from conftest import wait_until

LAYERS = ("environment", "file", "GUNICORN_CMD_ARGS", "command line")
CONF = "/app/gunicorn_conf.py"


def layer(mount, name, workers, port):
    """Options of a container in which the layer `name` sets workers, port, and a header with its own name."""
    headers = json.dumps({"X-Layer": name})
    flags = ["--workers", str(workers), "--bind", f"0.0.0.0:{port}", "--uvicorn-headers", headers]
    match name:
        case "environment":
            bind = f"0.0.0.0:{port}"
            return {"environment": {"WORKERS": str(workers), "BIND": bind, "UVICORN_HEADERS": headers}}
        case "file":
            text = f"workers = {workers}\nbind = ['0.0.0.0:{port}']\nuvicorn_headers = {headers!r}\n"
            return {"volumes": mount(CONF, text)}
        case "GUNICORN_CMD_ARGS":
            return {"environment": {name: " ".join(f"'{flag}'" for flag in flags)}}
        case _:
            return {"command": ["serve", *flags]}


def merged(*layers):
    """Options of several layers as those of one container."""
    result = {}
    for options in layers:
        for name, value in options.items():
            result[name] = result[name] | value if name in result else value
    return result


def assert_serves(container, name, workers, port):
    answer = container.wait_ready().get(port=port)

    assert answer.headers.get("x-layer") == name
    assert [listener["address"] for listener in answer.json()["listeners"]] == [["0.0.0.0", port]]
    wait_until(lambda: container.workers() >= workers, f"{workers} workers")
    assert container.workers() == workers


def test_image_default(start):
    assert_serves(start("observed.py", cpuset_cpus="0"), None, workers=1, port=8000)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_beats_the_default(start, mount, name):
    container = start("observed.py", **layer(mount, name, workers=2, port=9000), cpuset_cpus="0")

    assert_serves(container, name, workers=2, port=9000)


def test_the_highest_of_all_layers_wins(start, mount):
    options = merged(*(layer(mount, name, workers=3, port=9000) for name in LAYERS[:-1]))
    container = start("observed.py", **merged(options, layer(mount, LAYERS[-1], workers=2, port=7000)))

    assert_serves(container, LAYERS[-1], workers=2, port=7000)


@pytest.mark.parametrize(
    ("lower", "higher"), [(lower, higher) for i, lower in enumerate(LAYERS) for higher in LAYERS[i + 1 :]]
)
def test_a_higher_layer_beats_a_lower_one(attempt, mount, lower, higher):
    options = merged(layer(mount, lower, workers=3, port=9000), layer(mount, higher, workers=2, port=7000))
    flags = options.pop("command", ["serve"])[1:]
    outcome = attempt("observed.py", ["config", "--json", *flags], **options)

    assert (outcome.status, outcome.err) == (0, "")
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(outcome.out)}
    source = {"file": "Gunicorn file"}.get(higher, higher)
    assert rows["WORKERS"] == (2, source)
    assert rows["BIND"] == (["0.0.0.0:7000"], source)
    # A value that may hold a token.
    assert rows["UVICORN_HEADERS"] == ("(not shown)", source)


def test_a_layer_leaves_what_it_does_not_set(start, mount):
    container = start(
        "observed.py",
        ["--workers", "2"],
        environment={"ROOT_PATH": "/api", "GUNICORN_CMD_ARGS": "--bind 0.0.0.0:9000"},
        volumes=mount(CONF, "raw_env = ['COLOUR=red']\n"),
    )

    answer = container.wait_ready().get(port=9000).json()
    assert (answer["root_path"], answer["environ"]["COLOUR"]) == ("/api", "red")
    wait_until(lambda: container.workers() == 2, "two workers")


def test_config_names_the_sources(attempt, mount):
    outcome = attempt(
        command=["config", "--json", "--workers", "3"],
        environment={
            "WORKERS": "1",
            "TIMEOUT": "1",
            "KEEP_ALIVE": "1",
            "LOG_LEVEL": "debug",
            "THREADS_FILE": "/run/secrets/threads",
            "WEB_CONCURRENCY": "9",
            "PORT": "9000",
            "GUNICORN_BACKLOG": "77",
            "GUNICORN_CMD_ARGS": "--timeout 3",
        },
        volumes=mount(CONF, "timeout = 2\nkeepalive = 3\ndef when_ready(server): pass\n")
        | mount("/run/secrets/threads", "3"),
    )

    assert outcome.status == 0, outcome.err
    assert outcome.err == ""
    rows = {row["name"]: (row["value"], row["source"], row["origin"]) for row in json.loads(outcome.out)}
    assert rows["WORKERS"] == (3, "command line", "command line")
    assert rows["TIMEOUT"] == (3, "GUNICORN_CMD_ARGS", "GUNICORN_CMD_ARGS")
    assert rows["KEEP_ALIVE"] == (3, "Gunicorn file", CONF)
    assert rows["THREADS"] == (3, "file", "/run/secrets/threads")
    assert rows["LOG_LEVEL"] == ("debug", "environment", "LOG_LEVEL")
    assert rows["BIND"] == (["0.0.0.0:9000"], "environment", "PORT")
    assert rows["GUNICORN_BACKLOG"] == (77, "environment", "GUNICORN_BACKLOG")
    assert rows["GUNICORN_WHEN_READY"] == ("when_ready", "Gunicorn file", CONF)
    assert rows["GRACEFUL_TIMEOUT"] == (8, "default", "")


def test_config_as_text(attempt):
    outcome = attempt(command=["config"], environment={"WORKERS": "3", "KEYFILE_PASSWORD": "hunter2"})

    rows = [line.split() for line in outcome.out.splitlines()]
    assert outcome.status == 0
    assert rows[0] == ["NAME", "VALUE", "SOURCE", "ORIGIN"]
    assert ["WORKERS", "3", "environment", "WORKERS"] in rows
    assert ["TIMEOUT", "30", "default"] in rows
    assert "hunter2" not in outcome.out + outcome.err


# The user's Gunicorn file

SAYS_SO = "print('{} is used', flush=True)\n"


@pytest.mark.parametrize(
    ("flags", "environment", "path"),
    [
        ([], {}, "/app/gunicorn_conf.py"),
        ([], {}, "/app/gunicorn.conf.py"),
        ([], {"GUNICORN_CONF": "/config/mine.py"}, "/config/mine.py"),
        ([], {"GUNICORN_CONF": "deploy/mine.py"}, "/app/deploy/mine.py"),
        ([], {"GUNICORN_CONF": "file:/config/mine.py"}, "/config/mine.py"),
        ([], {"GUNICORN_CONF": "python:mine"}, "/app/mine.py"),
        ([], {"GUNICORN_CONF_FILE": "/run/secrets/name"}, "/config/mine.py"),
        ([], {"GUNICORN_CMD_ARGS": "-c /config/mine.py"}, "/config/mine.py"),
        (["--config", "/config/mine.py"], {}, "/config/mine.py"),
        (["-c", "python:mine", "main:app"], {}, "/app/mine.py"),
    ],
)
def test_a_gunicorn_file_is_found(attempt, mount, flags, environment, path):
    volumes = mount(path, SAYS_SO.format("it")) | mount("/run/secrets/name", "/config/mine.py")
    outcome = attempt("observed.py", ["check", *flags], environment=environment, volumes=volumes)

    assert outcome.status == 0, outcome.err
    assert "it is used" in outcome.out


@pytest.mark.parametrize(
    ("flags", "environment", "used"),
    [
        ([], {}, "gunicorn_conf.py"),
        ([], {"GUNICORN_CONF": "gunicorn.conf.py"}, "gunicorn.conf.py"),
        ([], {"GUNICORN_CONF": "gunicorn_conf.py", "GUNICORN_CMD_ARGS": "-c gunicorn.conf.py"}, "gunicorn.conf.py"),
        (["-c", "gunicorn.conf.py"], {"GUNICORN_CMD_ARGS": "-c gunicorn_conf.py"}, "gunicorn.conf.py"),
    ],
)
def test_one_gunicorn_file_is_used(attempt, mount, flags, environment, used):
    both = ("gunicorn_conf.py", "gunicorn.conf.py")
    volumes = {key: value for name in both for key, value in mount(f"/app/{name}", SAYS_SO.format(name)).items()}
    outcome = attempt("observed.py", ["check", *flags], environment=environment, volumes=volumes)

    assert outcome.status == 0, outcome.err
    assert [name for name in both if f"{name} is used" in outcome.out] == [used]


HOOKS = (
    ("on_starting", "server", "server.address"),
    ("when_ready", "server", "len(server.LISTENERS)"),
    ("pre_fork", "server, worker", "worker.age"),
    ("post_fork", "server, worker", "id(worker)"),
    ("post_worker_init", "worker", "id(worker)"),
    ("worker_exit", "server, worker", "id(worker)"),
    ("child_exit", "server, worker", "worker.age"),
    ("on_exit", "server", "server.pid"),
)
"""Name, arguments and what to show of them, in the order in which they are called with one worker."""

REPORTING_HOOKS = "".join(
    f"def {hook}({arguments}):\n    print('hook {hook}', {shown}, flush=True)\n" for hook, arguments, shown in HOOKS
)


@pytest.mark.smoke
@pytest.mark.parametrize("preload", ["true", "false"])
@pytest.mark.parametrize("app", ["observed.py", "observed_wsgi.py"])
def test_hooks_of_the_gunicorn_file_run(start, mount, app, preload):
    environment = {"WORKERS": "1", "PRELOAD_APP": preload}
    container = start(app, environment=environment, volumes=mount(CONF, REPORTING_HOOKS)).wait_ready()
    assert container.stop() == 0

    called = [
        line.split(maxsplit=2)[1:] for line in container.logs(stderr=False).splitlines() if line.startswith("hook ")
    ]
    assert [name for name, *_ in called] == [name for name, *_ in HOOKS]
    of_the_worker = {value for name, value in called if name in ("post_fork", "post_worker_init", "worker_exit")}
    assert len(of_the_worker) == 1, "one worker object"


def test_request_hooks_run_for_wsgi(start, mount):
    text = (
        "def pre_request(worker, req): print('before', req.path, flush=True)\n"
        "def post_request(worker, req, environ, resp): print('after', resp.status_code, flush=True)\n"
    )
    container = start("observed_wsgi.py", volumes=mount(CONF, text)).wait_ready()
    container.get("/somewhere")

    container.wait_for_log(r"after 200")
    assert "before /somewhere" in container.logs(stderr=False)


def test_a_gunicorn_file_can_use_modules_and_variables_of_the_application(start, mount):
    conf = "import os, deploy\nworkers = deploy.WORKERS\nroot_path = os.environ['PREFIX']\n"
    container = start(
        "observed.py",
        environment={"PREFIX": "/api"},
        volumes=mount(CONF, conf) | mount("/app/deploy.py", "WORKERS = 3\n"),
    ).wait_ready()

    assert container.get().json()["root_path"] == "/api"
    wait_until(lambda: container.workers() == 3, "three workers")


def test_a_gunicorn_file_can_turn_off_and_use_its_own_types(start, mount):
    text = (
        "import ssl\n"
        "accesslog = None\n"
        "bind = '0.0.0.0:9000'\n"
        "forwarded_allow_ips = '*'\n"
        "cert_reqs = ssl.CERT_NONE\n"
        "preload_app = True\n"
        "loglevel = 'INFO'\n"
        "proxy_protocol = False\n"
    )
    container = start("observed.py", volumes=mount(CONF, text)).wait_ready()

    answer = container.get(port=9000, headers={"X-Forwarded-Proto": "https"}).json()
    assert (answer["scheme"], answer["imported_by"]) == ("https", 1)
    container.stop()
    assert "GET /" not in container.logs()
