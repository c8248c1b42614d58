"""The in-memory scheduler of the PyPI package `durabletask`, as a script has it beside its client: for a durawasm host that connects to it.

A script makes its worker with `work`, which prints `listening on HOST:PORT`, does its steps, and calls `done`, which prints `backend ok`.
"""

import json
import socket
import sys
import time

from durabletask import client, worker
from durabletask.testing import create_test_backend

# Without its own address in it twice: the port is free again when the backend wants it.
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]

backend = create_test_backend(port=PORT)
hub = client.TaskHubGrpcClient(host_address=f"127.0.0.1:{PORT}")
Status = client.OrchestrationStatus
tasks = worker.TaskHubGrpcWorker(host_address=f"127.0.0.1:{PORT}")


def work(activities=(), orchestrators=(), entities=()):
    """Starts the script's own worker, and says where the scheduler is."""
    for activity in activities:
        tasks.add_activity(activity)
    for orchestrator in orchestrators:
        tasks.add_orchestrator(orchestrator)
    for entity in entities:
        tasks.add_entity(entity)
    tasks.use_work_item_filters()
    tasks.start()
    print(f"listening on 127.0.0.1:{PORT}", flush=True)


def ended(instance_id, status=Status.COMPLETED):
    state = hub.wait_for_orchestration_completion(instance_id, timeout=60)
    assert state is not None, instance_id
    assert state.runtime_status == status, f"{instance_id}: {state.runtime_status} {state.failure_details}"
    return state


def output(instance_id):
    return json.loads(ended(instance_id).serialized_output)


def run(name, value=None, **options):
    return output(hub.schedule_new_orchestration(name, input=value, **options))


def eventually(what, condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def step(name):
    print(f"step {name}", flush=True)


def done():
    """Ends everything."""
    tasks.stop()
    print("backend ok", flush=True)
    sys.stdout.flush()
    backend.stop()
