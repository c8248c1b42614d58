"""Activities in Python: a pure function, one that raises, and one that looks at a clock, which the deployment must grant."""

import time

from binding import exports


def greet(name):
    return f"Hello, {name}!"


def fail(reason):
    raise ValueError(reason)


Component, _, _, Activity = exports(
    "python-activities", "1.0.0", activities={"greet": greet, "fail": fail, "time": lambda _: time.time()}
)
