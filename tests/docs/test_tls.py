"""docs/tls.md, followed command by command."""

import re

from conftest import wait_until


def test_tls(page):
    story = page("tls")

    def log(name=""):
        done = story.shell(f"docker logs {story.app}{name}")
        return done.stdout

    def wait_ready(name=""):
        wait_until(lambda: "gunicorn: Ready" in log(name), "a server that is ready")

    def valid():
        return log().count("The certificate in /tls/server.crt is valid until")

    story.run("docker build")
    wait_ready()
    story.run("curl")
    assert valid() == 1
    # Renewal, by the page's own command.
    renew = re.search(r"^    openssl req -x509 .*?server\.crt$", story.text, re.MULTILINE | re.DOTALL)[0]
    done = story.shell(f"docker run --rm --user 0 --volume ./tls:/tls --workdir /tls {story.app} sh -euc '{renew}'")
    assert done.returncode == 0, done.stdout
    (story.directory / "tls" / "server.key").chmod(0o640)
    for command in ("docker kill --signal HUP", "docker exec"):
        before = valid()
        story.run(command)
        wait_until(lambda before=before: valid() == before + 1, "the new certificate")

    story.run("docker run --rm")
    wait_ready("-mutual")
    story.run("curl --silent --cacert tls/server.crt https")
    story.run("curl --silent --cacert tls/server.crt --cert")
    story.run("docker run --detach")
    wait_ready("-http2")
    story.run("curl --silent --http2")
