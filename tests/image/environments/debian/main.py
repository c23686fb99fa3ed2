"""An application of two packages that need Debian's libraries, one of which is compiled."""

import json

import MySQLdb
import psycopg2

FOUND = {"mysql": MySQLdb.get_client_info(), "postgresql": psycopg2.__libpq_version__}


def app(environ, start_response):
    """Say which libraries there are."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(FOUND).encode()]
