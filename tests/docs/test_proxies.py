"""docs/proxies.md as a story; what it says of the proxies is tested in tests/image/test_proxies.py."""

ON_TOP = """
services:
  nginx:
    image: {tools}:nginx
    command: nginx -g 'daemon off;'
    user: "0"
    ports: !override ["127.0.0.1:{port}:80"]
"""


def test_a_unix_socket(page, tools):
    page = page("proxies", example="unix-socket-nginx")
    (page.directory / "compose.override.yaml").write_text(ON_TOP.format(tools=tools, port=page.port("8080")))

    page.run("docker compose up")
    page.run("curl")
    page.run("docker compose exec app paddock health")
