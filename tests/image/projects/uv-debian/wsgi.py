from psycopg import pq


def application(environ, start_response):
    start_response("200 OK", [])
    return [f"served {pq.version()}".encode()]
