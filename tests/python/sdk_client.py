"""The PyPI package `durabletask` as a client of WASM orchestrators. Usage: sdk_client.py HOST:PORT"""

import json
import sys

from durabletask import client

hub = client.TaskHubGrpcClient(host_address=sys.argv[1])


def ended(instance_id):
    state = hub.wait_for_orchestration_completion(instance_id, timeout=60)
    assert state is not None, instance_id
    return state


# Start, wait, output.
state = ended(hub.schedule_new_orchestration("hello_cities", instance_id="python-cities"))
assert state.runtime_status == client.OrchestrationStatus.COMPLETED, state
assert json.loads(state.serialized_output)[0] == "Hello Tokyo!", state.serialized_output

# An event that is raised by the SDK reaches the WASM orchestrator.
approval = hub.schedule_new_orchestration("approval", input=60000)
hub.wait_for_orchestration_start(approval, timeout=30)
hub.raise_orchestration_event(approval, "approval", data={"by": "python"})
state = ended(approval)
assert "python" in state.serialized_output, state.serialized_output

# Custom status is visible while it waits.
waiting = hub.schedule_new_orchestration("approval", input=60000)
hub.wait_for_orchestration_start(waiting, timeout=30)
state = hub.get_orchestration_state(waiting)
assert json.loads(state.serialized_custom_status) == "waiting for the approval", state.serialized_custom_status

# Terminate.
hub.terminate_orchestration(waiting, output="enough")
state = ended(waiting)
assert state.runtime_status == client.OrchestrationStatus.TERMINATED, state
assert json.loads(state.serialized_output) == "enough", state.serialized_output

# Suspend and resume.
held = hub.schedule_new_orchestration("approval", input=60000)
hub.wait_for_orchestration_start(held, timeout=30)
hub.suspend_orchestration(held)
assert hub.get_orchestration_state(held).runtime_status == client.OrchestrationStatus.SUSPENDED
hub.raise_orchestration_event(held, "approval", data=1)
hub.resume_orchestration(held)
assert ended(held).runtime_status == client.OrchestrationStatus.COMPLETED

# A failure with its type, message and cause.
state = ended(hub.schedule_new_orchestration("fail_by_activity"))
assert state.runtime_status == client.OrchestrationStatus.FAILED, state
assert "calling the activity" in state.failure_details.message, state.failure_details

# An id that is taken is refused.
try:
    hub.schedule_new_orchestration("hello_cities", instance_id="python-cities")
    raise AssertionError("the id was taken")
except Exception as refused:
    assert "ALREADY_EXISTS" in str(refused) or "already exists" in str(refused).lower(), refused

print("client ok")
