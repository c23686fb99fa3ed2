"""The application: digits of pi."""

import os
import sys

import falcon

# Python's limit for numbers as text is for those that somebody else chose.
sys.set_int_max_str_digits(0)


def pi(digits: int) -> str:
    """Return pi to so many decimals, by Machin's formula."""
    one = 10 ** (digits + 10)
    scaled = 4 * (4 * arccot(5, one) - arccot(239, one)) // 10**10
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}}"


def arccot(x: int, one: int) -> int:
    """Return the arc cotangent of `x`, where `one` stands for 1."""
    power = total = one // x
    divisor, sign = 3, -1
    while power := power // (x * x):
        total += sign * (power // divisor)
        divisor, sign = divisor + 2, -sign
    return total


class Home:
    """Who answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say which worker this is: gunicorn.conf.py numbers them."""
        resp.media = {"worker": int(os.environ["WORKER_NUMBER"])}


class Pi:
    """The digits."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, digits: int) -> None:
        """Calculate as many as are wanted, as far as TIMEOUT allows."""
        resp.media = {"pi": pi(digits)}


app = falcon.App()
app.add_route("/", Home())
app.add_route("/pi/{digits:int(min=1)}", Pi())
