"""Gunicorn's file of this project: settings and hooks, over the environment and together with the image's own hooks.

It is read again on every reload, which forgets its variables: what has to last is kept on `server` and `worker`.
"""

import os
from collections import Counter
from itertools import count
from pathlib import Path

from usage import Usage, take_over

wsgi_app = "main:app"
workers = 2
threads = 2

SLOW = 0.1
"""Seconds."""


# In the arbiter


def nworkers_changed(server, new, old):
    """The number of workers is set: at the start, when there is no old one, on a reload, on SIGTTIN and SIGTTOU."""
    if old and new != old:
        server.log.info("%d workers in place of %d", new, old)


def on_starting(server):
    """Before it listens, once."""
    server.answers = Counter()


def when_ready(server):
    """It listens; its workers come next."""
    server.log.info("Keeping account of %d workers", server.num_workers)


def on_reload(server):
    """SIGHUP: the configuration has been read again, the workers are about to be replaced."""
    server.log.info("The account goes on after %d answers", server.answers.total())


def pre_fork(server, worker):
    """Before each worker: it gets the lowest number that no other has, for names that do not grow as pids do."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in count(1) if number not in taken)


def child_exit(server, worker):
    """After each worker: its account is taken over."""
    server.answers += take_over(account_of(worker))


def on_exit(server):
    """The last of all."""
    answers = ", ".join(f"{number} of {status}" for status, number in sorted(server.answers.items()))
    server.log.info("Answered: %s", answers or "nothing")


# In each worker


def post_fork(server, worker):
    """Its first moment: what workers must not share is opened here, such as a database connection."""
    os.environ["WORKER_NUMBER"] = str(worker.number)
    worker.usage = Usage()


def post_worker_init(worker):
    """The application is imported: what would make the first request slow is done now."""
    from main import pi

    pi(1000)
    worker.log.info("Worker number %d is warm", worker.number)


def pre_request(worker, req):
    """Before each request, in its thread. WSGI only."""
    worker.log.debug("Begun: %s %s", req.method, req.path)
    worker.usage.begin(req)


def post_request(worker, req, environ, resp):
    """After each request, in its thread; without `resp` when there was nobody left to answer. WSGI only."""
    seconds = worker.usage.end(req, str(resp.status_code) if resp else "none")
    if seconds > SLOW:
        worker.log.info("Slow: %s %s took %.1f s", req.method, req.path, seconds)


def worker_int(worker):
    """SIGINT or SIGQUIT: it ends at once."""
    worker.log.info("Cut off: %s", worker.usage.in_flight() or "nothing")


def worker_abort(worker):
    """SIGABRT: its event loop was silent for TIMEOUT, and it is killed; worker_exit does not follow."""
    worker.log.error("Killed while at: %s", worker.usage.in_flight() or "nothing")


def worker_exit(server, worker):
    """Its last moment."""
    worker.usage.hand_over(account_of(worker))


def account_of(worker):
    """Return the file in which a worker leaves its account."""
    return Path(worker.cfg.worker_tmp_dir, f"account-{worker.number}.json")
