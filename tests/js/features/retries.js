// Retry policies and retry handlers of the SDK: for activities and for children, with attempts that fail in JavaScript and in
// WebAssembly. The SDK retries by itself: a timer, and the action again under the next action id; a child keeps its instance id.
"use strict";

const assert = require("node:assert/strict");
const { RetryPolicy, whenAll } = require("@microsoft/durabletask-js");

/// Attempts by key, outside of orchestrators, which are replayed.
const attempts = new Map();

const policy = (options) =>
  new RetryPolicy({ maxNumberOfAttempts: 4, firstRetryIntervalInMilliseconds: 10, backoffCoefficient: 1, ...options });

exports.activities = {
  failsUntil: (_, { key, good }) => {
    const count = (attempts.get(key) ?? 0) + 1;
    attempts.set(key, count);
    if (count < good) {
      throw new RangeError(`attempt ${count}`);
    }
    return count;
  },
};

exports.orchestrators = {
  retried: async function* (context, good) {
    return yield context.callActivity("failsUntil", { key: context.instanceId, good }, { retry: policy() });
  },
  retriedSideBySide: async function* (context, goods) {
    const call = (good, n) =>
      context.callActivity("failsUntil", { key: `${context.instanceId}-${n}`, good }, { retry: policy() });
    return yield whenAll(goods.map(call));
  },
  retriedSlowerAndSlower: async function* (context) {
    const retry = policy({ backoffCoefficient: 2, maxRetryIntervalInMilliseconds: 30 });
    return yield context.callActivity("failsUntil", { key: context.instanceId, good: 4 }, { retry });
  },
  outOfTime: async function* (context) {
    // After 10 ms, and then after 100 s, which would be too late.
    const retry = policy({ backoffCoefficient: 10_000, retryTimeoutInMilliseconds: 30_000 });
    return yield context.callActivity("failsUntil", { key: context.instanceId, good: 4 }, { retry });
  },
  notWorthARetry: async function* (context) {
    const retry = policy({ handleFailure: (failure) => failure.errorType !== "RangeError" });
    return yield context.callActivity("failsUntil", { key: context.instanceId, good: 4 }, { retry });
  },
  handled: async function* (context) {
    // At once, then after 20 ms, then not any more.
    const answers = [true, 20, false];
    const retry = async ({ lastAttemptNumber }) => answers[lastAttemptNumber - 1];
    return yield context.callActivity("failsUntil", { key: context.instanceId, good: 99 }, { retry });
  },
  childFailsUntil: async function* (context, input) {
    return yield context.callActivity("failsUntil", input);
  },
  retriedChild: async function* (context, good) {
    const instanceId = `${context.instanceId}-child`;
    const input = { key: context.instanceId, good };
    return yield context.callSubOrchestrator("childFailsUntil", input, { instanceId, retry: policy() });
  },
  retriedChildWithoutId: async function* (context, good) {
    const input = { key: context.instanceId, good };
    return yield context.callSubOrchestrator("childFailsUntil", input, { retry: policy() });
  },
  retriedInWebAssembly: async function* (context) {
    try {
      yield context.callActivity("unstable", "this", { retry: policy({ maxNumberOfAttempts: 3 }) });
    } catch (error) {
      return [error.details.errorType, error.details.message];
    }
  },
  retriedChildInWebAssembly: async function* (context, good) {
    const input = { name: "failsUntil", input: { key: context.instanceId, good } };
    return yield context.callSubOrchestrator("call_foreign", input, { retry: policy() });
  },
};

const of = (events, type) => events.filter((event) => event.type === type);

exports.scenarios = {
  "an activity is tried until it succeeds, each time under a new id, with a timer in between": async (hub) => {
    const id = await hub.start("retried", 3);
    assert.equal(await hub.output(id), 3);
    const events = await hub.client.getOrchestrationHistory(id);
    assert.deepEqual(of(events, "TaskScheduled").map((e) => e.eventId), [1, 3, 5]);
    assert.deepEqual(of(events, "TaskFailed").map((e) => e.taskScheduledId), [1, 3]);
    assert.equal(of(events, "TimerFired").length, 2);
  },
  "after the last attempt its failure is the caller's": async (hub) => {
    const id = await hub.start("retried", 99);
    assert.match((await hub.ended(id)).failureDetails.message, /attempt 4/);
    assert.equal(attempts.get(id), 4);
  },
  "activities that are retried side by side do not get into each other's way": async (hub) => {
    assert.deepEqual(await hub.run("retriedSideBySide", [1, 4, 2, 3, 1, 4]), [1, 4, 2, 3, 1, 4]);
  },
  "intervals grow with the backoff up to the longest, and no timer fires early": async (hub) => {
    const id = await hub.start("retriedSlowerAndSlower");
    assert.equal(await hub.output(id), 4);
    const delays = [];
    let now;
    for (const event of await hub.client.getOrchestrationHistory(id)) {
      if (event.type === "OrchestratorStarted") {
        now = event.timestamp;
      } else if (event.type === "TimerCreated") {
        delays.push(event.fireAt - now);
      } else if (event.type === "TimerFired") {
        assert.ok(now >= event.fireAt, `at ${now.toISOString()}, due at ${event.fireAt.toISOString()}`);
      }
    }
    assert.deepEqual(delays, [10, 20, 30]);
  },
  "a policy that is out of time does not try again": async (hub) => {
    const id = await hub.start("outOfTime");
    assert.match((await hub.ended(id)).failureDetails.message, /attempt 2/);
  },
  "a policy asks whether a failure is worth a retry": async (hub) => {
    const id = await hub.start("notWorthARetry");
    assert.match((await hub.ended(id)).failureDetails.message, /attempt 1/);
  },
  "a handler decides whether and when to try again": async (hub) => {
    const id = await hub.start("handled");
    assert.match((await hub.ended(id)).failureDetails.message, /attempt 3/);
    assert.equal(of(await hub.client.getOrchestrationHistory(id), "TimerFired").length, 1);
  },
  "a child that is retried keeps its id, and its last run is what is kept of it": async (hub) => {
    const id = await hub.start("retriedChild", 3);
    assert.equal(await hub.output(id), 3);
    assert.equal(await hub.output(`${id}-child`), 3);
    const created = of(await hub.client.getOrchestrationHistory(id), "SubOrchestrationInstanceCreated");
    assert.deepEqual(created.map((e) => [e.eventId, e.instanceId]), [1, 3, 5].map((n) => [n, `${id}-child`]));
  },
  "a child without an id of its own is retried under the same one too": async (hub) => {
    const id = await hub.start("retriedChildWithoutId", 3);
    assert.equal(await hub.output(id), 3);
    const created = of(await hub.client.getOrchestrationHistory(id), "SubOrchestrationInstanceCreated");
    assert.equal(new Set(created.map((e) => e.instanceId)).size, 1);
    assert.equal(await hub.output(created[0].instanceId), 3);
  },
  "a child that never succeeds fails its parent": async (hub) => {
    assert.match((await hub.failure("retriedChild", 99)).message, /attempt 4/);
  },
  "an activity in WebAssembly is retried by the policy of a JavaScript orchestrator": async (hub) => {
    const id = await hub.start("retriedInWebAssembly");
    assert.deepEqual(await hub.output(id), ["Unstable", "not yet: this"]);
    assert.equal(of(await hub.client.getOrchestrationHistory(id), "TaskFailed").length, 3);
  },
  "a child in WebAssembly whose JavaScript activity fails is retried by its JavaScript parent": async (hub) => {
    assert.equal(await hub.run("retriedChildInWebAssembly", 3), 3);
  },
  "an activity in JavaScript is retried by the policy of an orchestrator in WebAssembly": async (hub) => {
    const call = (good, count) => ({ name: "failsUntil", input: { key: hub.id("key"), good }, attempts: count });
    const id = await hub.start("foreign_call", call(3, 4));
    assert.equal(await hub.output(id), 3);
    assert.equal(of(await hub.client.getOrchestrationHistory(id), "TaskFailed").length, 2);
    assert.match((await hub.failure("foreign_call", call(99, 2))).message, /attempt 2/);
  },
  "a child in JavaScript is retried by its parent in WebAssembly, and keeps its id": async (hub) => {
    const child = hub.id("child");
    const input = { key: hub.id("key"), good: 3 };
    const call = { name: "childFailsUntil", child: true, id: child, input, attempts: 4 };
    assert.equal(await hub.run("foreign_call", call), 3);
    assert.equal(await hub.output(child), 3);
  },
};
