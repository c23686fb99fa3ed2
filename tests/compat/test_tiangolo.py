"""What tiangolo/uvicorn-gunicorn and -fastapi promise, of their layers.

By their READMEs, and by what their own tests look at: the log, `docker top`, and `python /gunicorn_conf.py`.
https://github.com/tiangolo/uvicorn-gunicorn-docker, https://github.com/tiangolo/uvicorn-gunicorn-fastapi-docker
"""

import json
import os

import pytest

from conftest import UNREACHABLE, wait_until

PYTHON = os.environ.get("PADDOCK_PYTHON", "3.14")
TAG = "compat-tiangolo"
HELLO = f"Hello world! From Uvicorn with Gunicorn. Using Python {PYTHON}"

CUSTOM = """
import os


class App:
    def __init__(self, scope):
        assert scope["type"] == "http"

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ.get("TEXT", "custom").encode()})


custom_var = App
"""


@pytest.fixture
def serve(start, image):
    """Start a layer with nothing but what a test says: LEISURE would be a user's own."""

    def run(tag=TAG, command=None, **options):
        return start(image=f"{image}-{tag}", command=command or ["/start.sh"], **options)

    return run


def server(container):
    """The users and the commands of Gunicorn's processes, as `docker top` shows them, the arbiter's first."""
    rows = container.raw.top(ps_args="-eo pid,uid,args")["Processes"]
    return [row[1:] for row in rows if "gunicorn" in row[2]]


def configuration(container):
    """What the configuration file prints that the command line names."""
    _, _, rest = server(container)[0][1].partition("-c")
    return json.loads(container.run("python", rest.split()[0]))


def ready(container):
    """Wait until it serves; not by the log, which some turn off."""
    wait_until(lambda: "answered" in container.attempt("paddock", "health").out, "a healthy server")
    return container


def test_by_default(serve):
    container = ready(serve())

    assert configuration(container) == {
        "loglevel": "info",
        "workers": 2,
        "bind": "0.0.0.0:80",
        "graceful_timeout": 120,
        "timeout": 120,
        "keepalive": 5,
        "errorlog": "-",
        "accesslog": "-",
        "workers_per_core": 1.0,
        "use_max_workers": None,
        "host": "0.0.0.0",
        "port": "80",
    }
    assert container.get(port=80).text == HELLO
    for line in ("Checking for script in /app/prestart.sh", "Running script /app/prestart.sh"):
        assert line in container.logs().splitlines()
    assert "Running inside /app/prestart.sh, you could add migrations to this file" in container.logs()
    # As their tests have it.
    assert '"GET / HTTP/1.1" 200' in container.logs()
    assert "[INFO] Application startup complete." in container.logs()
    assert "Using worker: uvicorn.workers.UvicornWorker" in container.logs()
    # The arbiter and the workers are the image's user, though the container began as root.
    wait_until(lambda: len(server(container)) == 3, "two workers")
    assert {uid for uid, _ in server(container)} == {"10001"}
    assert container.stop() == 0


def test_it_starts_again(serve):
    container = ready(serve())
    assert container.stop() == 0
    container.raw.start()

    assert ready(container).get(port=80).text == HELLO


@pytest.mark.parametrize(
    ("environment", "shown", "port"),
    [
        ({"WORKERS_PER_CORE": "2", "PORT": "8000"}, {"bind": "0.0.0.0:8000", "workers_per_core": 2.0}, 8000),
        ({"WORKERS_PER_CORE": "0.1"}, {"workers": 2, "workers_per_core": 0.1}, 80),
        ({"WEB_CONCURRENCY": "1"}, {"workers": 1}, 80),
        ({"MAX_WORKERS": "1"}, {"workers": 1, "use_max_workers": 1}, 80),
        (
            {"BIND": "0.0.0.0:8080", "HOST": "127.0.0.1", "PORT": "9000"},
            {"bind": "0.0.0.0:8080", "host": "127.0.0.1", "port": "9000"},
            8080,
        ),
        (
            {"GRACEFUL_TIMEOUT": "20", "TIMEOUT": "21", "KEEP_ALIVE": "22"},
            {"graceful_timeout": 20, "timeout": 21, "keepalive": 22},
            80,
        ),
    ],
)
def test_variables(serve, environment, shown, port):
    container = ready(serve(environment=environment))

    found = configuration(container)
    assert found == found | shown
    assert container.get(port=port).text == HELLO
    wait_until(lambda: len(server(container)) == 1 + found["workers"], "as many workers as it says")


def test_logs_are_off_where_they_are_empty(serve):
    container = ready(serve(environment={"ACCESS_LOG": "", "ERROR_LOG": "", "LOG_LEVEL": "warning"}))
    container.get(port=80)

    found = configuration(container)
    assert (found["accesslog"], found["errorlog"], found["loglevel"]) == (None, None, "warning")
    assert '"GET / HTTP/1.1" 200' not in container.logs()
    assert "Application startup complete." not in container.logs()


def test_the_class_and_gunicorns_flags_are_in_the_log(serve):
    flags = {"GUNICORN_CMD_ARGS": "--log-level debug", "WORKER_CLASS": "uvicorn.workers.UvicornH11Worker"}
    container = ready(serve(environment={"LOG_LEVEL": "warning", **flags}))

    assert "loglevel: debug" in container.logs()
    assert "Using worker: uvicorn.workers.UvicornH11Worker" in container.logs()


def test_json_stays_json(serve):
    container = ready(serve(environment={"LOG_FORMAT": "json"}))

    lines = [line for line in container.logs(stdout=False).splitlines() if "startup complete" in line]
    assert lines
    assert {json.loads(line)["message"] for line in lines} == {"Application startup complete."}


def test_loopback(serve):
    container = ready(serve(environment={"HOST": "127.0.0.1"}, allow=(UNREACHABLE,)))

    assert configuration(container)["bind"] == "127.0.0.1:80"


@pytest.mark.parametrize("quota", [None, 4 * 100_000])
def test_cores_are_those_of_the_container(serve, quota):
    """And not the machine's: the one difference to the original."""
    container = ready(serve(environment={"WORKERS_PER_CORE": "3"}, cpuset_cpus="0", cpu_quota=quota))

    assert configuration(container)["workers"] == 3


@pytest.mark.parametrize(
    "environment",
    [
        {"MODULE_NAME": "custom_app.custom_main", "VARIABLE_NAME": "custom_var"},
        {"APP_MODULE": "custom_app.custom_main:custom_var"},
    ],
)
@pytest.mark.parametrize("prestart", ["/app/prestart.sh", "/app/custom_app/custom-prestart.sh"])
def test_another_module(serve, mount, environment, prestart):
    script = "echo Custom prestart script\nexport TEXT=exported\n"
    volumes = mount("/app/custom_app/custom_main.py", CUSTOM) | mount("/app/custom_app/custom-prestart.sh", script)
    container = ready(serve(environment=environment | {"PRE_START_PATH": prestart}, volumes=volumes))

    custom = "custom" in prestart
    assert container.get(port=80).text == ("exported" if custom else "custom")
    assert ("Custom prestart script" in container.logs()) == custom


def test_a_package_is_found(serve, mount):
    container = ready(serve(volumes=mount("/app/app/main.py", CUSTOM + "app = App\n")))

    assert container.get(port=80).text == "custom"


@pytest.mark.parametrize(
    "path", ["/app/gunicorn_conf.py", "/app/app/gunicorn_conf.py", "/elsewhere/custom_gunicorn_conf.py"]
)
def test_another_configuration_file_takes_the_place_of_the_layers(serve, mount, path):
    text = 'import json\nloglevel = "warning"\nworkers = 3\nbind = "0.0.0.0:8000"\nerrorlog = "-"\n'
    text += 'print(json.dumps({"loglevel": loglevel, "workers": workers, "bind": bind}))\n'
    environment = {"GUNICORN_CONF": path} if path.startswith("/elsewhere") else {}
    container = ready(serve(volumes=mount(path, text), environment=environment))

    assert f" -c {path} " in server(container)[0][1]
    assert configuration(container) == {"loglevel": "warning", "workers": 3, "bind": "0.0.0.0:8000"}
    assert container.get().text == HELLO
    wait_until(lambda: len(server(container)) == 4, "three workers")


@pytest.mark.parametrize(("script", "status"), [("exit 0\n", 0), ("exit 3\n", 3), ("false\n", 1)])
def test_a_script_that_ends_ends_the_start(serve, mount, script, status):
    outcome = serve(volumes=mount("/app/prestart.sh", script)).outcome()

    assert outcome.status == status
    assert "Starting gunicorn" not in outcome.err


def test_health_waits_for_the_script(serve, mount):
    script = "echo begun\nwhile [ ! -e /tmp/go ]; do sleep 0.1; done\n"
    container = serve(volumes=mount("/app/prestart.sh", script))
    container.wait_for_log("begun")

    assert container.attempt("paddock", "health").out == "unhealthy: the server is starting\n"
    container.run("touch", "/tmp/go")
    ready(container)


def test_reload(serve, project):
    folder = project({"main.py": CUSTOM + "app = App\n"})
    container = ready(serve(command=["/start-reload.sh"], volumes=folder))
    assert container.get(port=80).text == "custom"
    assert "There is no script /app/prestart.sh" in container.logs()
    assert "Uvicorn running on http://0.0.0.0:80" in container.logs()

    (host,) = folder
    source = CUSTOM.replace('"custom"', '"changed"') + "app = App\n"
    with open(f"{host}/main.py", "w") as file:
        file.write(source)
    wait_until(lambda: container.get(port=80).text == "changed", "the new code")


@pytest.mark.parametrize(
    "options",
    [
        {"user": "12345:12345"},
        {"cap_drop": ["NET_BIND_SERVICE"]},
        {"cap_drop": ["ALL"]},
        {"security_opt": ["no-new-privileges"], "read_only": True},
    ],
    ids=["another user", "no low ports", "no capabilities", "locked up"],
)
def test_whoever_runs_it(serve, options):
    container = ready(serve(**options))

    assert container.get(port=80).text == HELLO
    assert container.stop() == 0


def test_low_ports_where_they_are_roots(serve):
    """As under Kubernetes; Docker opens them to everyone."""
    container = ready(serve(sysctls={"net.ipv4.ip_unprivileged_port_start": "1024"}))

    assert {uid for uid, _ in server(container)} == {"10001"}
    assert container.get(port=80).text == HELLO


def test_other_commands(serve):
    assert serve(command=["sh", "-c", "id -u; echo $PYTHONPATH; pwd"]).outcome().out == "0\n/app\n/app\n"


def test_fastapi_is_there(serve):
    container = ready(serve(f"{TAG}-fastapi"))

    message = f"Hello world! From FastAPI running on Uvicorn with Gunicorn. Using Python {PYTHON}"
    assert container.get(port=80).json() == {"message": message}


@pytest.mark.parametrize(
    ("name", "path", "answer"),
    [
        ("tiangolo", "/", f"Test app. Using Python {PYTHON}"),
        ("tiangolo-fastapi", "/items/5?q=somequery", '{"item_id":5,"q":"somequery"}'),
    ],
)
def test_the_dockerfile_of_the_readme(start, tools, name, path, answer):
    """Built with nothing changed, as bake's target `readme` says."""
    container = ready(start(image=f"{tools}:readme-{name}", command=["/start.sh"]))

    assert container.get(path, port=80).text == answer
    assert {uid for uid, _ in server(container)} == {"10001"}
