"""A worker whose scheduler goes away and comes back. Usage: survivor.py HOST:PORT

`survives` runs so many activities one after the other, then waits for an event. Each activity says on standard output that
it runs.
"""

import sys
import threading

from hub import Hub


def survives(ctx, count):
    total = 0
    for number in range(count):
        total += yield ctx.call_activity(step, input=number)
    ctx.set_custom_status("waiting")
    return [total, (yield ctx.wait_for_external_event("end"))]


def step(ctx, number):
    print(f"step {number} of {ctx.orchestration_id}", flush=True)
    return 1


Hub(sys.argv[1], "survivor").work([survives], [step])
print("worker ready", flush=True)
threading.Event().wait()
