"""Workers that stop, are killed, or share the work."""

import pathlib
import subprocess
import sys
import threading
import time

from durabletask import task, worker
from hub import Feature, expect, expect_status

feature = Feature()

runs, lock = {}, threading.Lock()


def count(key):
    with lock:
        runs[key] = runs.get(key, 0) + 1


def named(function, name):
    function.__name__ = name
    return function


class Victim:
    """A worker in a process of its own, which hangs in the middle of its work until it is killed."""

    def __init__(self, hub, orchestrator, activity="unused"):
        script = pathlib.Path(__file__).parents[1] / "victim.py"
        command = [sys.executable, str(script), hub.address, orchestrator, activity]
        # It ends when its standard input does, so that it does not outlive this process.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.says("worker ready")

    def says(self, text):
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(f"the worker ended before it said `{text}`")

    def kill(self):
        self.process.kill()
        self.process.wait()


def second_worker(name, activity=None):
    """What the victim runs, without its hang."""

    def orchestrator(ctx, _):
        first = yield ctx.call_activity("quick")
        return first if activity is None else [first, (yield ctx.call_activity(activity))]

    return named(orchestrator, name)


def quick(_, __):
    return "quick"


@feature.orchestrator
def calls_slowly(ctx, name):
    return (yield ctx.call_activity(name))


@feature.scenario("a worker that is killed in the middle of a turn loses nothing, and another one goes on")
def _(hub):
    victim = Victim(hub, "killed_in_a_turn")
    instance = hub.start("killed_in_a_turn")
    victim.says("in the middle of a turn")
    hub.work([second_worker("killed_in_a_turn")], [quick])
    expect_status(hub.state(instance), "RUNNING")
    victim.kill()
    expect(hub.output(instance), "quick")
    expect(
        hub.events(instance),
        ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorStarted", "TaskCompleted", "ExecutionCompleted"],
    )


@feature.scenario("an activity whose worker is killed runs again on another one")
def _(hub):
    victim = Victim(hub, "unused", "killed_in_an_activity")
    instance = hub.start(calls_slowly, "killed_in_an_activity")
    victim.says("in the middle of an activity")
    hub.work([], [named(lambda _, __: "the second worker's", "killed_in_an_activity")])
    victim.kill()
    expect(hub.output(instance), "the second worker's")
    expect([hub.events(instance).count(kind) for kind in ("TaskScheduled", "TaskCompleted")], [1, 1])


@feature.scenario("a worker that stops finishes its activity, and the result counts although its stream is gone")
def _(hub):
    running, go = threading.Event(), threading.Event()

    def slow(_, __):
        count(hub.prefix)
        running.set()
        assert go.wait(30)
        return "from the one that stopped"

    first = hub.work([], [named(slow, "finished_while_stopping")])
    instance = hub.start(calls_slowly, "finished_while_stopping")
    assert running.wait(30)
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    # Its stream is cancelled at once, and the scheduler waits a little for what its worker still has.
    hub.work([], [named(slow, "finished_while_stopping")])
    go.set()
    expect(hub.output(instance), "from the one that stopped")
    stopping.join(30)
    expect(runs[hub.prefix], 1, "runs of the activity")


@feature.scenario("a worker that stops and starts again goes on")
def _(hub):
    tasks = hub.work([named(lambda ctx, _: "done", "stops_and_starts")])
    expect(hub.run("stops_and_starts"), "done")
    tasks.stop()
    waiting = hub.start("stops_and_starts")
    expect_status(hub.state(waiting), "PENDING")
    tasks.start()
    expect(hub.output(waiting), "done")


@feature.scenario("no worker has more items open than it asked for, and two workers share a fan-out")
def _(hub):
    limit, most, open_now, by_worker = 4, [0, 0], [0, 0], [0, 0]

    def busy(who):
        def shared_activity(_, number):
            with lock:
                by_worker[who] += 1
                open_now[who] += 1
                most[who] = max(most[who], open_now[who])
            time.sleep(0.005)
            with lock:
                open_now[who] -= 1
            return number

        return shared_activity

    def fans_out_to_two(ctx, width):
        return (yield task.when_all([ctx.call_activity("shared_activity", input=n) for n in range(width)]))

    hub.work([fans_out_to_two])
    for who in range(2):
        limited = worker.TaskHubGrpcWorker(
            host_address=hub.address,
            concurrency_options=worker.ConcurrencyOptions(
                maximum_concurrent_activity_work_items=limit, maximum_thread_pool_workers=16
            ),
        )
        limited.add_activity(busy(who))
        limited.use_work_item_filters()
        limited.start()
    expect(hub.run(fans_out_to_two, 100), list(range(100)))
    assert all(0 < count <= limit for count in most), f"open at once: {most}"
    expect(sum(by_worker), 100, "runs")
    assert all(count > 0 for count in by_worker), f"runs by worker: {by_worker}"


@feature.scenario("an activity in Python whose worker is killed runs again for an orchestrator in WebAssembly")
def _(hub):
    victim = Victim(hub, "unused", "killed_for_webassembly")
    instance = hub.start("call_foreign", {"name": "killed_for_webassembly", "input": None})
    victim.says("in the middle of an activity")
    victim.kill()
    hub.work([], [named(lambda _, __: "the second worker's", "killed_for_webassembly")])
    expect(hub.output(instance), "the second worker's")


@feature.scenario("a child in Python whose worker is killed in the middle of a turn still answers its parent in WebAssembly")
def _(hub):
    victim = Victim(hub, "killed_child")
    parent = hub.start("start_foreign", {"name": "killed_child", "input": None})
    victim.says("in the middle of a turn")
    victim.kill()
    hub.work([second_worker("killed_child")], [quick])
    expect(hub.output(parent), "quick")


