"""The in-memory scheduler of the PyPI package `durabletask`, its client, and a worker with activities that can be told to fail.

Prints `listening on HOST:PORT`, waits for a durawasm host with `test_durability.wasm` and `fan_out.wasm` to connect, has it run everything that
the protocol offers, and prints `backend ok`.
"""

import json

from backend import Status, done, ended, eventually, hub, output, run, step, work

mended = set()
runs = {}


def flaky(ctx, key):
    runs[key] = runs.get(key, 0) + 1
    if key not in mended:
        raise ValueError(f"{key} is broken")
    return f"{key} is mended"


def long_text(ctx, size):
    return "x" * size


work(activities=[flaky, long_text])


def custom_status(instance_id):
    text = hub.get_orchestration_state(instance_id).serialized_custom_status
    return json.loads(text) if text else None


step("activities one after the other")
assert run("count", {"to": 5, "millis": 0}) == 10

step("an activity of a worker in another language")
mended.add("tool")
assert run("call_foreign", {"name": "flaky", "input": "tool"}) == "tool is mended"

step("fan-out")
assert run("fan_out", {"count": 200}) == sum(n * n for n in range(200))

step("timers")
assert run("sleep", 300) >= 300

step("external events, buffered and awaited")
items = hub.schedule_new_orchestration("items", input=3)
for number in range(3):
    hub.raise_orchestration_event(items, "ITEM", data=number)
assert output(items) == [0, 1, 2]

step("custom status, suspend and resume")
held = hub.schedule_new_orchestration("approval", input=60000)
eventually("it has a custom status", lambda: custom_status(held) == "waiting for the approval")
hub.suspend_orchestration(held)
eventually("it is suspended", lambda: hub.get_orchestration_state(held).runtime_status == Status.SUSPENDED)
hub.raise_orchestration_event(held, "approval", data="yes")
hub.resume_orchestration(held)
assert output(held) == 'approved with "yes"'

step("terminate")
endless = hub.schedule_new_orchestration("forever")
hub.wait_for_orchestration_start(endless, timeout=30)
hub.terminate_orchestration(endless, output="enough")
assert json.loads(ended(endless, Status.TERMINATED).serialized_output) == "enough"

step("children, with ids that were chosen and derived")
assert run("parent", "the-child") >= 1
assert output("the-child") >= 1
assert run("start_foreign", {"name": "count", "input": {"to": 3, "millis": 0}}) == 3

step("continue as new")
assert run("generations", 30) == 0

step("retries")
failed = ended(hub.schedule_new_orchestration("retries", input={"max": 3, "millis": 10}), Status.FAILED)
assert "not yet" in failed.failure_details.message, failed.failure_details
kinds = [type(event).__name__ for event in hub.get_orchestration_history(failed.instance_id)]
assert kinds.count("TaskFailedEvent") == 3 and kinds.count("TimerFiredEvent") == 2, kinds

step("failures with type and message")
failed = ended(hub.schedule_new_orchestration("fail_by_activity"), Status.FAILED)
assert "calling the activity" in failed.failure_details.message, failed.failure_details
failed = ended(hub.schedule_new_orchestration("panic_at", input=True), Status.FAILED)
assert failed.failure_details.error_type == "Panic", failed.failure_details

step("rewind: the activity that failed runs again")
broken = hub.schedule_new_orchestration("call_foreign", input={"name": "flaky", "input": "wheel"})
ended(broken, Status.FAILED)
for again in (2, 3):
    if again == 3:
        mended.add("wheel")
    hub.rewind_orchestration(broken, reason="try again")
    eventually("it ran again", lambda: runs["wheel"] == again)
    ended(broken, Status.COMPLETED if again == 3 else Status.FAILED)
assert output(broken) == "wheel is mended"

step("rewind of a parent whose child failed")
child = {"name": "flaky", "input": "door"}
broken = hub.schedule_new_orchestration("start_foreign", input={"name": "call_foreign", "input": child})
ended(broken, Status.FAILED)
mended.add("door")
hub.rewind_orchestration(broken)
assert output(broken) == "door is mended"
assert runs["door"] == 2

step("payloads near the limit")
assert len(run("call_foreign", {"name": "long_text", "input": 1_000_000})) == 1_000_000
failed = ended(hub.schedule_new_orchestration("fan_out", input={"count": 3, "work": -1}), Status.FAILED)
assert failed.failure_details is not None

step("many at once")
many = [hub.schedule_new_orchestration("count", input={"to": 3, "millis": 1}) for _ in range(30)]
assert [output(one) for one in many] == [3] * 30

done()
