"""Print `build/gunicorn_conf.py`, of which the lines between its blocks are the settings of the table.

Needs: the package of build/ on PYTHONPATH.
Leaves: nothing; `./dev docs` writes the file.
"""

from __future__ import annotations

from itertools import groupby

from paddock.settings.table import SETTINGS

HEAD = '''\
"""Gunicorn's settings, from the environment, for `gunicorn -c` with this file: `./dev docs` makes it of the table.

What is wrong with a variable is said on stderr and ends the process with 78.
"""

from paddock.settings.certificates import ssl_context  # noqa: F401  (Gunicorn's hook)
from paddock.start.messages import settings_or_exit

settings = settings_or_exit()
'''

TAIL = """
# Every other setting that was given as GUNICORN_<NAME>, and the image's own.
globals().update(settings.other)
"""


def main() -> None:
    """Print the file."""
    print(HEAD)
    for _, settings in groupby((setting for setting in SETTINGS if setting.sets), key=lambda setting: setting.section):
        print(*(f"{setting.sets} = settings.{setting.sets}" for setting in settings), "", sep="\n")
    print(TAIL.lstrip(), end="")


if __name__ == "__main__":
    main()
