"""The PyPI package `durabletask` as a worker beside a WASM host. Usage: sdk_worker.py HOST:PORT

Offers the activity `py_upper`, which WASM orchestrators call, and the orchestrator `py_greets`, which calls WASM activities.
Filters tell the scheduler what it runs, so that a hub may be mixed.
"""

import sys
import threading

from durabletask import worker


def py_upper(ctx, text):
    return text.upper()


def py_fails(ctx, _):
    raise ValueError("python says no")


def py_greets(ctx, city):
    greeting = yield ctx.call_activity("say_hello", input=city)
    shouted = yield ctx.call_activity(py_upper, input=greeting)
    return shouted


def py_parent(ctx, _):
    cities = yield ctx.call_sub_orchestrator("hello_cities")
    return len(cities)


tasks = worker.TaskHubGrpcWorker(host_address=sys.argv[1])
for orchestrator in (py_greets, py_parent):
    tasks.add_orchestrator(orchestrator)
for activity in (py_upper, py_fails):
    tasks.add_activity(activity)
if hasattr(tasks, "use_work_item_filters"):
    tasks.use_work_item_filters()
tasks.start()
print("worker ready", flush=True)
threading.Event().wait()
