"""A thin binding of `wit/workflow.wit`: just enough to write orchestrators and activities in plain Python.

An orchestrator is an `async def` or a generator: it awaits, or yields, what it waits for, one thing at a time. The module that is
componentized hands over its names and exports what `exports` returns, as much of it as its WIT world has:

    Component, Orchestrator, Queries, Activity = exports("shop", "1.0.0", orchestrators={...}, activities={...})
"""

import json
import traceback

from componentize_py_types import Err, Ok
from wit_world.exports import component
from wit_world.imports import types

try:
    from wit_world.exports import orchestrator
except ImportError:
    # A component with activities alone.
    orchestrator = None


class ActivityFailed(Exception):
    """A call failed."""

    def __init__(self, failures):
        super().__init__(failures[0].message)
        self.failures = failures


class Wait:
    """Something to wait for."""

    def __init__(self, op):
        self.op = op

    def __await__(self):
        return (yield self)


class Context:
    """What an orchestrator works with."""

    def __init__(self, context):
        self.instance_id = context.instance_id
        self.now = context.now
        self.commands = []
        self._op = 0

    def call_activity(self, name, value=None):
        """Runs an activity."""
        call = orchestrator.ActivityCall(name, None, json.dumps(value), None, [])
        return self._issue(orchestrator.Request_Activity(call))

    def create_timer(self, seconds):
        """Waits for this many seconds."""
        fire = types.Timestamp(self.now.seconds + seconds, self.now.nanos)
        return self._issue(orchestrator.Request_Timer(fire))

    def wait_for_event(self, name):
        """Waits for an external event."""
        return self._issue(orchestrator.Request_WaitEvent(name))

    def _issue(self, request):
        self._op += 1
        self.commands.append(orchestrator.Command_Issue((self._op, request)))
        return Wait(self._op)

    def take(self):
        """The commands since the last time."""
        commands, self.commands = self.commands, []
        return commands


def failure(error):
    """A Python exception as the failure that others see."""
    return types.Failure(type(error).__name__, str(error), "".join(traceback.format_exception(error)), True, [])


def outcome(work):
    """Runs a function: its value, or its exception, in the form of the contract."""
    try:
        return Ok(json.dumps(work()))
    except ActivityFailed as error:
        return Err(error.failures)
    except Exception as error:
        return Err([failure(error)])


def parse(payload):
    """A payload as a value."""
    return None if payload is None else json.loads(payload)


def exports(name, version, orchestrators={}, activities={}):
    """The classes that componentize-py looks for."""

    def definitions(functions):
        return [component.Definition(name, None, None, function.__doc__) for name, function in functions.items()]

    class Component:
        def describe(self):
            return component.Info(name, version, definitions(orchestrators), definitions(activities), [])

    class Orchestrator:
        """One instance of the component is one orchestration instance: its state may be the class's."""

        context = None
        body = None
        waiting = None

        def start(self, context):
            cls = Orchestrator
            cls.context = Context(context)
            cls.body = orchestrators[context.name](cls.context, parse(context.input))
            self._step(lambda: cls.body.send(None))
            return cls.context.take()

        def resume(self, resolutions):
            cls = Orchestrator
            for resolution in resolutions:
                cls.context.now = resolution.now
                if cls.body is None or resolution.op != cls.waiting:
                    continue
                match resolution.outcome:
                    case Ok(value):
                        self._step(lambda: cls.body.send(parse(value)))
                    case Err(failures):
                        self._step(lambda: cls.body.throw(ActivityFailed(failures)))
            return cls.context.take()

        def _step(self, work):
            cls = Orchestrator
            try:
                cls.waiting = work().op
                return
            except StopIteration as end:
                result = Ok(json.dumps(end.value))
            except ActivityFailed as error:
                result = Err(error.failures)
            except Exception as error:
                result = Err([failure(error)])
            cls.body = None
            cls.context.commands.append(orchestrator.Command_Complete(result))

    class Queries:
        def names(self):
            return []

        def answer(self, name, input):
            return Err([types.Failure("UnknownQuery", f"there is no query `{name}`", None, False, [])])

    class Activity:
        def run(self, context, input):
            return outcome(lambda: activities[context.name](parse(input)))

    return Component, Orchestrator, Queries, Activity
