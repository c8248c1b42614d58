"""A task hub as the scenarios see it: a client, workers, and short words for what every scenario does."""

import itertools
import json
import logging
import os
import time

import grpc
from durabletask import client, worker
from durabletask.client import OrchestrationStatus

# Seconds that a scenario waits for an instance.
PATIENCE = 30

QUIET = logging.getLogger("quiet")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False
QUIET.setLevel(logging.CRITICAL)


class Feature:
    """What a worker runs for one feature, and what must hold."""

    def __init__(self, alone=False, **options):
        # Whether the scenarios look at all instances of the hub, and so cannot run at the same time.
        self.alone = alone
        self.options = options
        self.orchestrators, self.activities, self.entities, self.scenarios = [], [], [], []

    def orchestrator(self, function):
        self.orchestrators.append(function)
        return function

    def activity(self, function):
        self.activities.append(function)
        return function

    def entity(self, function):
        self.entities.append(function)
        return function

    def scenario(self, sentence):
        def add(function):
            self.scenarios.append((sentence, function))
            return function

        return add


class Hub:
    """A client, workers, and ids that no other scenario uses."""

    def __init__(self, address, prefix, name=None):
        self.address = address
        self.prefix = prefix
        # Plain SDKs do not name a hub; those of the managed flavours do so in a header.
        self.metadata = None if name is None else [("taskhub", name)]
        self.client = client.TaskHubGrpcClient(host_address=address, logger=QUIET, metadata=self.metadata)
        self._numbers = itertools.count(1)

    def scope(self, name):
        """The same hub for one scenario, whose ids begin with its own prefix."""
        scoped = Hub.__new__(Hub)
        scoped.__dict__.update(self.__dict__)
        scoped.prefix = f"{self.prefix}-{name}"
        scoped._numbers = itertools.count(1)
        return scoped

    def prefix_of_ids(self):
        return f"py-{os.getpid()}-{self.prefix}-"

    def id(self, word="x"):
        return f"{self.prefix_of_ids()}{next(self._numbers)}-{word}"

    def work(self, orchestrators=(), activities=(), entities=(), filters=True, versioning=None, **options):
        """Starts a worker. It says what it runs, so that the hub may be mixed with other workers."""
        tasks = worker.TaskHubGrpcWorker(
            host_address=self.address,
            logger=QUIET,
            metadata=self.metadata,
            concurrency_options=worker.ConcurrencyOptions(maximum_thread_pool_workers=32),
            **options,
        )
        for orchestrator in orchestrators:
            tasks.add_orchestrator(orchestrator)
        for activity in activities:
            tasks.add_activity(activity)
        for entity in entities:
            tasks.add_entity(entity)
        if versioning:
            tasks.use_versioning(versioning)
        if filters is True:
            tasks.use_work_item_filters()
        elif filters:
            tasks.use_work_item_filters(filters)
        tasks.start()
        return tasks

    def start(self, name, input=None, **options):
        """Starts an instance and returns its id."""
        word = name if isinstance(name, str) else name.__name__
        options.setdefault("instance_id", self.id(word))
        return self.client.schedule_new_orchestration(name, input=input, **options)

    def ended(self, instance):
        """An instance as it ended."""
        state = self.client.wait_for_orchestration_completion(instance, timeout=PATIENCE)
        assert state is not None, f"{instance} is not there"
        return state

    def output(self, instance):
        """What an instance returned."""
        state = expect_status(self.ended(instance), "COMPLETED")
        return parse(state.serialized_output)

    def run(self, name, input=None, **options):
        """Starts an instance and returns what it returned."""
        return self.output(self.start(name, input, **options))

    def failure(self, name, input=None, **options):
        """Starts an instance that must fail, and returns the failure."""
        return expect_status(self.ended(self.start(name, input, **options)), "FAILED").failure_details

    def state(self, instance):
        return self.client.get_orchestration_state(instance)

    def until(self, instance, status):
        """Waits until an instance has a status."""

        def look():
            state = self.state(instance)
            return state if state and state.runtime_status == OrchestrationStatus[status] else None

        return eventually(f"{instance} is {status}", look)

    def says(self, instance, word):
        """Waits until an instance says something in its custom status."""

        def look():
            state = self.state(instance)
            return state if state and state.serialized_custom_status == json.dumps(word) else None

        return eventually(f"{instance} says {word!r}", look)

    def history(self, instance):
        while True:
            try:
                return self.client.get_orchestration_history(instance)
            except grpc.RpcError as error:
                # It has continued as new while it was read, so what was read is gone.
                if error.code() != grpc.StatusCode.ABORTED:
                    raise

    def events(self, instance):
        """The types of an instance's history, in order."""
        return [type(event).__name__.removesuffix("Event") for event in self.history(instance)]


def parse(text):
    """What a serialized payload holds."""
    return None if text is None else json.loads(text)


def eventually(what, look):
    """Tries until something is found."""
    until = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"did not come about within {PATIENCE} s: {what}"
        time.sleep(0.02)


def expect(actual, expected, what="the result"):
    assert actual == expected, f"{what}:\n  expected {expected!r}\n  actual   {actual!r}"


def expect_in(part, whole, what="the text"):
    assert part in whole, f"{what}:\n  expected to hold {part!r}\n  actual   {whole!r}"


def expect_status(state, status):
    actual = state.runtime_status.name
    assert actual == status, f"{state.instance_id} is {actual}, expected {status}: {state.failure_details}"
    return state


def refused(code, call):
    """That a call is refused with a gRPC status code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode[code], f"expected {code}, actual {error.code()}: {error.details()}"
        return error.details()
    raise AssertionError(f"was not refused with {code}")
