"""Packages that need Debian's: some to be built, some to be imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Needs(NamedTuple):
    """Debian's packages for the build stage, and for the image that serves."""

    build: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


COMPILER = ("gcc", "libc6-dev")

NEEDS = {
    "psycopg": Needs(run=("libpq5",)),
    "psycopg-c": Needs((*COMPILER, "libpq-dev"), ("libpq5",)),
    "psycopg2": Needs((*COMPILER, "libpq-dev"), ("libpq5",)),
    "mysqlclient": Needs((*COMPILER, "default-libmysqlclient-dev", "pkg-config"), ("libmariadb3",)),
    "python-ldap": Needs((*COMPILER, "libldap-dev", "libsasl2-dev"), ("libldap2", "libsasl2-2")),
    "xmlsec": Needs((*COMPILER, "libxmlsec1-dev", "pkg-config"), ("libxmlsec1-openssl",)),
    "pyodbc": Needs(run=("unixodbc",)),
    "python-magic": Needs(run=("libmagic1t64",)),
    "weasyprint": Needs(run=("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0")),
    "cairosvg": Needs(run=("libcairo2",)),
    "pycairo": Needs((*COMPILER, "libcairo2-dev", "pkg-config"), ("libcairo2",)),
    "gdal": Needs(("g++", "libgdal-dev"), ("libgdal36",)),
    "opencv-python": Needs(run=("libgl1", "libglib2.0-0t64")),
    "pytesseract": Needs(run=("tesseract-ocr",)),
    "pdf2image": Needs(run=("poppler-utils",)),
    "uwsgi": Needs(COMPILER),
}
"""By the name of a package of Python's; of Debian 13, https://packages.debian.org/trixie/."""

INSTEAD = {"psycopg": {"psycopg-binary", "psycopg-c"}}
"""Packages that bring along what another one would need."""


def needs(packages: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return Debian's packages for the build stage and for the image that serves, and whose needs they are."""
    there = set(packages)
    whose = sorted(name for name in there & NEEDS.keys() if not there & INSTEAD.get(name, set()))
    build = sorted({each for name in whose for each in NEEDS[name].build})
    run = sorted({each for name in whose for each in NEEDS[name].run})
    return build, run, whose
