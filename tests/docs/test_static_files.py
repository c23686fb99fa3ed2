"""docs/static-files.md, followed with the Django example."""

import re
import subprocess

import httpx
import pytest

from conftest import http_client, wait_until
from page import ROOT

DJANGO = ROOT / "examples" / "django"
PAGE = (ROOT / "docs" / "static-files.md").read_text()


def wait_for(url):
    """Wait until a server answers at `url`, and return what it says."""

    def answer():
        try:
            with http_client() as client:
                return client.get(url)
        except httpx.TransportError:
            return None

    return wait_until(answer, url)


def test_static_files(page, tools):
    story = page("static-files")
    # An image of its own, so that nothing else goes when the page's is removed.
    dockerfile = f"FROM paddock-example:django\nLABEL docs={story.app}\n"
    subprocess.run(["docker", "build", "--quiet", "--tag", story.app, "-"], input=dockerfile, text=True, check=True)
    nginx = story.directory / "nginx" / "Dockerfile"
    as_debian_starts_it = "\nUSER root\nCMD nginx -g 'daemon off;'\n"
    nginx.write_text(re.sub(r"nginx:[\d.]+", f"{tools}:nginx", nginx.read_text()) + as_debian_starts_it)

    def address(published):
        return f"http://127.0.0.1:{story.port(published)}"

    story.run("docker run --detach")
    wait_for(f"{address('8000')}/health")
    story.run("curl")

    story.run("docker build")
    wait_for(f"{address('8001')}/static/style.css")
    wait_for(f"{address('8002')}/static/style.css")
    story.run("curl")
    story.run("curl")

    story.run("docker build")
    short = wait_for(f"{address('8080')}/static/laps/board.css")
    assert (short.status_code, short.headers["cache-control"]) == (200, "max-age=60")
    story.run("curl")


def test_what_the_page_shows_of_the_example_is_in_it():
    settings, collect = re.findall(r"^```(?:python|dockerfile)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    assert settings in (DJANGO / "timing" / "settings.py").read_text()
    assert collect in (DJANGO / "Dockerfile").read_text()


@pytest.mark.parametrize(
    ("message", "command"),
    [
        (
            "Missing staticfiles manifest entry",
            ["shell", "-v0", "-c", "from django.templatetags.static import static; static('laps/board.css')"],
        ),
        ("PermissionError", ["collectstatic", "--no-input", "--clear"]),
    ],
)
def test_what_goes_wrong(finish, message, command):
    nothing_collected_and_roots = {"/app/staticfiles": "mode=755"}
    outcome = finish(
        image="paddock-example:django",
        command=["python", "manage.py", *command],
        environment={"SECRET_KEY": "sesame"},
        tmpfs=nothing_collected_and_roots,
    )

    assert outcome.status == 1
    assert message in outcome.err
    assert f"`{message}`" in PAGE
