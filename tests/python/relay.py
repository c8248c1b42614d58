"""A worker that hands on to the next: `python_relay` runs the child that it is given, after an activity of the other language.

Usage: relay.py HOST:PORT
"""

import sys
import threading

from hub import Hub


def python_relay(ctx, following):
    ctx.set_custom_status("relaying")
    said = yield ctx.call_activity("javascript_says", input="python")
    if not following:
        return [said, (yield ctx.wait_for_external_event("end"))]
    rest = yield ctx.call_sub_orchestrator(following["name"], input=following.get("input"), instance_id=following.get("id"))
    return [said, *rest]


def python_says(_, caller):
    return f"{caller} asks, python answers"


Hub(sys.argv[1], "relay").work([python_relay], [python_says])
print("worker ready", flush=True)
threading.Event().wait()
