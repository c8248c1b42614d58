"""Payloads that the SDK keeps in a store of its own (LARGE_PAYLOADS): the scheduler gets short tokens in their place.

The store here is a dictionary; users have one in the cloud. Clients and workers that share it pass what is larger than the
scheduler's limit.
"""

import itertools

from durabletask import client
from durabletask.payload.store import LargePayloadStorageOptions, PayloadStore
from hub import QUIET, Feature, expect, parse

MIB = 1 << 20


class Shelf(PayloadStore):
    def __init__(self):
        self.kept, self.numbers = {}, itertools.count(1)

    @property
    def options(self):
        return LargePayloadStorageOptions(threshold_bytes=1000, enable_compression=False)

    def upload(self, data, *, instance_id=None):
        token = f"shelf:{next(self.numbers)}"
        self.kept[token] = data
        return token

    async def upload_async(self, data, *, instance_id=None):
        return self.upload(data, instance_id=instance_id)

    def download(self, token):
        return self.kept[token]

    async def download_async(self, token):
        return self.download(token)

    def is_known_token(self, value):
        return value in self.kept


shelf = Shelf()
feature = Feature(payload_store=shelf)


@feature.activity
def double(_, text):
    return text * 2


@feature.orchestrator
def doubles(ctx, text):
    ctx.set_custom_status(text)
    doubled = yield ctx.call_activity(double, input=text)
    event = yield ctx.wait_for_external_event("more")
    child = yield ctx.call_sub_orchestrator(returns_it_all, input=doubled + event)
    return child


@feature.orchestrator
def returns_it_all(ctx, text):
    return text


@feature.scenario("payloads of several MiB pass through the SDK's store, in every place that has one")
def _(hub):
    own = client.TaskHubGrpcClient(host_address=hub.address, logger=QUIET, payload_store=shelf)
    text, more = "x" * (3 * MIB), "y" * (2 * MIB)
    instance = hub.id()
    own.schedule_new_orchestration(doubles, input=text, instance_id=instance)
    own.raise_orchestration_event(instance, "more", data=more)
    state = own.wait_for_orchestration_completion(instance, timeout=30)
    expect(parse(state.serialized_output) == text * 2 + more, True, "the output")
    expect(parse(state.serialized_input) == text, True, "the input")
    expect(parse(state.serialized_custom_status) == text, True, "the custom status")
    # To the scheduler they are texts like any other.
    plain = hub.state(instance)
    for token in (plain.serialized_input, plain.serialized_output, plain.serialized_custom_status):
        assert token.startswith("shelf:"), token[:100]
    kinds = {type(event).__name__: event for event in own.get_orchestration_history(instance)}
    expect(parse(kinds["EventRaisedEvent"].input) == more, True, "the event in the history")


@feature.scenario("small payloads stay in the messages")
def _(hub):
    instance = hub.start(returns_it_all, "small")
    expect(hub.output(instance), "small")
