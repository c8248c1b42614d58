// What histories hold, large payloads, and long histories. The SDK takes and sends messages of any size.
"use strict";

const assert = require("node:assert/strict");
const { whenAll } = require("@microsoft/durabletask-js");
const { code, refused } = require("../hub");

const MIB = 1 << 20;
/// A payload is JSON: two quotes and the text.
const LARGEST = MIB - 2;

exports.activities = {
  repeat: (_, [text, count]) => text.repeat(count),
  length: (_, text) => text.length,
};

exports.orchestrators = {
  oneOfEach: async function* (context) {
    yield context.callActivity("length", "abc", { tags: { a: "1" } });
    yield context.createTimer(0.001);
    yield context.callSubOrchestrator("childOfOne", "in");
    return "done";
  },
  childOfOne: (_, input) => input,
  takesItsTime: async function* (context) {
    yield context.callActivity("length", "");
    context.setCustomStatus("waiting");
    yield context.waitForExternalEvent("end");
  },
  getsLarge: async function* (context, bytes) {
    return yield context.callActivity("length", yield context.callActivity("repeat", ["x", bytes]));
  },
  getsManyLarge: async function* (context, [count, bytes]) {
    let lengths = 0;
    for (let n = 0; n < count; n += 1) {
      lengths += (yield context.callActivity("repeat", ["x", bytes])).length;
    }
    return lengths;
  },
  returnsLarge: (_, bytes) => "x".repeat(bytes),
  saysLarge: (context, bytes) => {
    context.setCustomStatus("x".repeat(bytes));
    return "said";
  },
  takesLarge: async function* (context) {
    context.setCustomStatus("waiting");
    return (yield context.waitForExternalEvent("large")).length;
  },
  givesChildLarge: async function* (context, bytes) {
    return yield context.callSubOrchestrator("returnsLength", "x".repeat(bytes));
  },
  returnsLength: (_, text) => text.length,
  wide: async function* (context, width) {
    const call = (_, n) => context.callActivity("length", "x".repeat(n % 10));
    const results = yield whenAll(Array.from({ length: width }, call));
    return results.reduce((sum, length) => sum + length, 0);
  },
  deep: async function* (context, depth) {
    let total = 0;
    for (let n = 0; n < depth; n += 1) {
      total += yield context.callActivity("length", "x".repeat(n % 10));
    }
    return total;
  },
};

exports.scenarios = {
  "an activity, a timer and a child make this history, and no other events": async (hub) => {
    const id = await hub.start("oneOfEach");
    assert.equal(await hub.output(id), "done");
    const events = await hub.client.getOrchestrationHistory(id);
    assert.deepEqual(
      events.map((event) => `${event.type} ${event.eventId}`),
      [
        "OrchestratorStarted -1",
        "ExecutionStarted -1",
        "TaskScheduled 1",
        "OrchestratorStarted -1",
        "TaskCompleted -1",
        "TimerCreated 2",
        "OrchestratorStarted -1",
        "TimerFired -1",
        "SubOrchestrationInstanceCreated 3",
        "OrchestratorStarted -1",
        "SubOrchestrationInstanceCompleted -1",
        "ExecutionCompleted 4",
      ],
    );
    assert.deepEqual([events[2].name, events[2].input, events[2].tags], ["length", '"abc"', { a: "1" }]);
    assert.deepEqual([events[4].taskScheduledId, events[4].result], [1, "3"]);
    assert.deepEqual([events[8].name, events[8].input], ["childOfOne", '"in"']);
    assert.deepEqual([events[11].orchestrationStatus, events[11].result], ["ORCHESTRATION_STATUS_COMPLETED", '"done"']);
  },
  "the history of a child says who its parent is, and which call of it": async (hub) => {
    const id = await hub.start("oneOfEach");
    await hub.output(id);
    const events = await hub.client.getOrchestrationHistory(id);
    const parent = (await hub.client.getOrchestrationHistory(events[8].instanceId))[1].parentInstance;
    assert.deepEqual([parent.name, parent.taskScheduledId], ["oneOfEach", 3]);
    assert.deepEqual(parent.orchestrationInstance, events[1].orchestrationInstance);
  },
  "the history of a running instance is what is committed": async (hub) => {
    const id = await hub.start("takesItsTime");
    await hub.says(id, "waiting");
    const expected = ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorStarted", "TaskCompleted"];
    assert.deepEqual(await hub.events(id), expected);
  },
  "the history of an instance that does not exist is empty for the SDK, which is told NOT_FOUND": async (hub) => {
    assert.deepEqual(await hub.events(hub.id("nobody")), []);
  },
  "inputs, outputs, results, events and statuses of 1 MiB pass": async (hub) => {
    assert.equal(await hub.run("returnsLength", "x".repeat(LARGEST)), LARGEST);
    assert.equal((await hub.run("returnsLarge", LARGEST)).length, LARGEST);
    assert.equal(await hub.run("getsLarge", LARGEST), LARGEST);
    assert.equal(await hub.run("givesChildLarge", LARGEST), LARGEST);
    assert.equal(await hub.run("saysLarge", LARGEST), "said");
    const id = await hub.start("takesLarge");
    await hub.client.raiseOrchestrationEvent(id, "large", "x".repeat(LARGEST));
    assert.equal(await hub.output(id), LARGEST);
  },
  "a client's payload over 1 MiB is INVALID_ARGUMENT": async (hub) => {
    const large = "x".repeat(LARGEST + 1);
    await refused(code.INVALID_ARGUMENT, () => hub.start("returnsLength", large));
    const id = await hub.start("takesLarge");
    await hub.says(id, "waiting");
    await refused(code.INVALID_ARGUMENT, () => hub.client.raiseOrchestrationEvent(id, "large", large));
    hub.expectStatus(await hub.state(id), "RUNNING");
  },
  "an orchestrator's payload over 1 MiB fails it, and an activity's fails the call": async (hub) => {
    for (const name of ["returnsLarge", "saysLarge", "givesChildLarge"]) {
      assert.equal((await hub.failure(name, LARGEST + 1)).errorType, "PayloadTooLarge", name);
    }
    assert.match((await hub.failure("getsLarge", LARGEST + 1)).message, /Activity task #1 failed: .*1048577/);
  },
  "a history of several thousand events completes, and is read whole and in order": async (hub) => {
    const id = await hub.start("wide", 1500);
    assert.equal(await hub.output(id), 6750);
    const events = await hub.client.getOrchestrationHistory(id);
    assert.ok(events.length > 3003, events.length);
    const scheduled = events.filter((event) => event.type === "TaskScheduled").map((event) => event.eventId);
    assert.deepEqual(scheduled, Array.from({ length: 1500 }, (_, n) => n + 1));
    const answered = events.filter((event) => event.type === "TaskCompleted").map((event) => event.taskScheduledId);
    assert.deepEqual(answered.sort((a, b) => a - b), scheduled);
  },
  "an orchestration of two hundred turns completes": async (hub) => {
    assert.equal(await hub.run("deep", 200), 900);
  },
  "a history of more than 4 MiB passes": async (hub) => {
    const id = await hub.start("getsManyLarge", [8, MIB - 100]);
    assert.equal(await hub.output(id), 8 * (MIB - 100));
    assert.equal((await hub.events(id)).filter((type) => type === "TaskCompleted").length, 8);
  },
  "the history of an orchestrator in WebAssembly is read too": async (hub) => {
    const id = await hub.start("hello_cities", null);
    assert.equal((await hub.output(id)).length, 5);
    const events = await hub.client.getOrchestrationHistory(id);
    const names = events.filter((event) => event.type === "TaskScheduled").map((event) => event.name);
    assert.deepEqual(names, Array(5).fill("say_hello"));
  },
  "large payloads pass between JavaScript and WebAssembly": async (hub) => {
    assert.equal((await hub.run("large_output", LARGEST)).length, LARGEST);
    const input = "x".repeat(MIB - 200);
    assert.equal(await hub.run("call_foreign", { name: "length", input }), input.length);
  },
};
