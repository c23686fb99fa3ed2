"""What s2i-python's README promises, of its layer: https://github.com/sclorg/s2i-python-container"""

import pytest

from conftest import wait_until

SOURCE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""

FLAGS = "bind = '0.0.0.0:9000'\nworkers = 1\n"


@pytest.fixture
def serve(start, image, project):
    """Start the layer with files where an application belongs."""

    def run(files, **options):
        volumes = project(files, at="/opt/app-root/src")
        return start(image=f"{image}-compat-s2i", command=["/usr/libexec/s2i/run"], volumes=volumes, **options)

    return run


@pytest.mark.parametrize(
    ("files", "environment", "port"),
    [
        ({"wsgi.py": SOURCE}, {}, 8080),
        ({"wsgi.py": SOURCE}, {"PORT": "9000"}, 9000),
        ({"shop.py": SOURCE}, {"APP_MODULE": "shop"}, 8080),
        ({"shop.py": SOURCE.replace("application", "app")}, {"APP_MODULE": "shop:app"}, 8080),
        ({"part/wsgi.py": SOURCE}, {"APP_HOME": "part"}, 8080),
        ({"wsgi.py": SOURCE, "conf.py": FLAGS}, {"APP_CONFIG": "conf.py"}, 9000),
        ({"wsgi.py": SOURCE}, {"GUNICORN_CMD_ARGS": "--bind 0.0.0.0:9000"}, 9000),
    ],
)
def test_an_application(serve, files, environment, port):
    container = serve(files, environment=environment).wait_ready()

    assert container.get(port=port).text == "served"
    assert container.run("id", "-u") == "1001\n"
    assert container.stop() == 0


def test_a_random_user_and_its_workers(serve):
    container = serve({"wsgi.py": SOURCE}, user="123456", environment={"WEB_CONCURRENCY": "3"}).wait_ready()

    assert container.get(port=8080).text == "served"
    wait_until(lambda: container.workers() == 3, "three workers")


@pytest.mark.parametrize(
    ("files", "environment", "words"),
    [
        ({"app.sh": "#!/bin/sh\necho a script\n"}, {}, "a script"),
        ({"own.sh": "#!/bin/sh\necho a script\n"}, {"APP_SCRIPT": "own.sh"}, "a script"),
        ({"app.py": "print('a program')\n"}, {}, "a program"),
        ({"own.py": "print('a program')\n"}, {"APP_FILE": "own.py"}, "a program"),
    ],
)
def test_what_is_no_server(serve, files, environment, words):
    outcome = serve(files, environment=environment).outcome()

    assert outcome.status == 0, outcome
    assert outcome.out.splitlines()[-1] == words


@pytest.mark.parametrize("name", ["APP_SCRIPT", "APP_FILE"])
def test_a_file_that_is_not_there(serve, name):
    outcome = serve({"wsgi.py": SOURCE}, environment={name: "nowhere"}).outcome()

    assert outcome.status == 1
    assert "ERROR: file 'nowhere' not found." in outcome.err


def test_the_dockerfile_of_the_readme(start, tools):
    container = start(image=f"{tools}:readme-s2i", command=["/usr/libexec/s2i/run"], user="123456").wait_ready()

    # Migrated at the start, as README says, and its static files are collected.
    assert "---> Migrating database ..." in container.logs()
    assert container.get(port=8080).json() == {"users": 0}
    assert container.get("/static/shop/style.css", port=8080).status_code == 200
    assert container.stop() == 0


def test_without_migrations(start, tools):
    container = start(
        image=f"{tools}:readme-s2i", command=["/usr/libexec/s2i/run"], environment={"DISABLE_MIGRATE": "1"}
    ).wait_ready()

    assert "Migrating" not in container.logs()
    assert container.run("sh", "-c", "ls db.sqlite3 2>&1 || true").startswith("ls: cannot access")
