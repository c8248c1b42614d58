"""A worker with one activity, `py_upper`. Usage: upper.py HOST:PORT"""

import sys
import threading

from hub import Hub


def py_upper(_, text):
    return text.upper()


Hub(sys.argv[1], "upper").work(activities=[py_upper])
print("worker ready", flush=True)
threading.Event().wait()
