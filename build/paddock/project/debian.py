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
    "xmlsec": Needs((*COMPILER, "libxmlsec1-dev", "pkg-config"), ("libxmlsec1t64-openssl",)),
    "pyodbc": Needs(run=("unixodbc",)),
    "python-magic": Needs(run=("libmagic1t64",)),
    "weasyprint": Needs(run=("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0")),
    "cairosvg": Needs(run=("libcairo2",)),
    "pycairo": Needs((*COMPILER, "libcairo2-dev", "pkg-config"), ("libcairo2",)),
    "gdal": Needs(("g++", "libgdal-dev"), ("libgdal36",)),
    # Which is no package of its own: https://docs.djangoproject.com/en/stable/ref/contrib/gis/install/geolibs/
    "django.contrib.gis": Needs(run=("libgdal36", "libgeos-c1t64", "libproj25")),
    "opencv-python": Needs(run=("libgl1", "libglib2.0-0t64")),
    "pytesseract": Needs(run=("tesseract-ocr",)),
    "pdf2image": Needs(run=("poppler-utils",)),
    "uwsgi": Needs(COMPILER),
}
"""By the name of a package of Python's; of Debian 13, https://packages.debian.org/trixie/."""

FROM_SOURCE = {
    "pillow": Needs(
        (*COMPILER, "libfreetype-dev", "libjpeg-dev", "libwebp-dev", "zlib1g-dev"),
        ("libfreetype6", "libjpeg62-turbo", "libwebp7", "libwebpdemux2", "libwebpmux3"),
    ),
    "lxml": Needs((*COMPILER, "libxml2-dev", "libxslt1-dev"), ("libxml2", "libxslt1.1")),
    "pycurl": Needs((*COMPILER, "libcurl4-openssl-dev"), ("libcurl4t64",)),
    "cffi": Needs((*COMPILER, "libffi-dev"), ("libffi8",)),
}
"""Of packages that have wheels, where these are not used or are for other Pythons."""

INSTEAD = {"psycopg": {"psycopg-binary", "psycopg-c"}}
"""Packages that bring along what another one would need."""


def needs(packages: Iterable[str], compiled: Iterable[str] = ()) -> tuple[list[str], list[str], list[str]]:
    """Return Debian's packages for the build stage and for the image that serves, and whose needs they are.

    `compiled` names those of the packages that are built from source.
    """
    there = set(packages)
    wanted = {name: NEEDS[name] for name in there & NEEDS.keys() if not there & INSTEAD.get(name, set())}
    wanted |= {name: FROM_SOURCE[name] for name in FROM_SOURCE.keys() & compiled}
    build = sorted({each for needed in wanted.values() for each in needed.build})
    run = sorted({each for needed in wanted.values() for each in needed.run})
    return build, run, sorted(wanted)
