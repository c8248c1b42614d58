// Rewind and restart.
"use strict";

const assert = require("node:assert/strict");
const { whenAll } = require("@microsoft/durabletask-js");
const { code, parse, refused } = require("../hub");

/// What is broken, and how often an activity has run, by a key: outside of orchestrators, which are replayed.
const broken = new Set();
const runs = new Map();
const count = (key) => runs.set(key, (runs.get(key) ?? 0) + 1).get(key);

exports.activities = {
  worksUnlessBroken: (_, key) => {
    const run = count(key);
    if (broken.has(key)) {
      throw new RangeError(`${key} is broken`);
    }
    return run;
  },
  alwaysWorks: (_, key) => {
    count(key);
    return "fine";
  },
};

exports.orchestrators = {
  goodThenBroken: async function* (context) {
    const first = yield context.callActivity("alwaysWorks", `${context.instanceId}-good`);
    return [first, yield context.callActivity("worksUnlessBroken", context.instanceId)];
  },
  brokenSideBySide: async function* (context, width) {
    const call = (_, n) => context.callActivity("worksUnlessBroken", `${context.instanceId}-${n}`);
    return yield whenAll(Array.from({ length: width }, call));
  },
  parentOfBroken: async function* (context, { name, input, child }) {
    const first = yield context.callActivity("alwaysWorks", `${context.instanceId}-good`);
    return [first, yield context.callSubOrchestrator(name, input, { instanceId: child })];
  },
  parentOfTwo: async function* (context) {
    const child = (end) => context.callSubOrchestrator("goodThenBroken", 1, { instanceId: `${context.instanceId}-${end}` });
    return yield whenAll([child("a"), child("b")]);
  },
  parentOfDefaultId: async function* (context, key) {
    return yield context.callSubOrchestrator("callsBroken", key);
  },
  callsBroken: async function* (context, key) {
    return yield context.callActivity("worksUnlessBroken", key);
  },
  failsByItself: async function* (context) {
    yield context.callActivity("alwaysWorks", context.instanceId);
    throw new RangeError("in any case");
  },
  returnsIt: (context, input) => [input, context.version],
  waitsForEnd: async function* (context) {
    context.setCustomStatus("waiting");
    return yield context.waitForExternalEvent("end");
  },
};

async function fails(hub, id) {
  const state = await hub.ended(id);
  hub.expectStatus(state, "FAILED");
  return state;
}

/// Starts an instance that must fail because a key is broken, then mends it.
async function breaks(hub, key, name, input, instanceId) {
  broken.add(key);
  const id = await hub.start(name, input, { instanceId });
  await fails(hub, id);
  broken.delete(key);
  return id;
}

exports.scenarios = {
  "a rewound instance runs what failed again, and nothing that succeeded": async (hub) => {
    const id = hub.id();
    await breaks(hub, id, "goodThenBroken", 1, id);
    const execution = async () => (await hub.client.getOrchestrationHistory(id))[1].orchestrationInstance.executionId;
    const before = await execution();
    await hub.client.rewindInstance(id, "it is mended");
    assert.deepEqual(await hub.output(id), ["fine", 2]);
    assert.equal(runs.get(`${id}-good`), 1);
    const state = await hub.state(id);
    assert.equal(state.failureDetails, undefined);
    const events = await hub.client.getOrchestrationHistory(id);
    assert.equal(events.find((event) => event.type === "ExecutionRewound").reason, "it is mended");
    assert.ok(!events.some((event) => event.type === "TaskFailed"));
    assert.notEqual(await execution(), before);
  },
  "an instance that fails again can be rewound again": async (hub) => {
    const id = hub.id();
    broken.add(id);
    await fails(hub, await hub.start("goodThenBroken", 1, { instanceId: id }));
    for (const attempt of [2, 3]) {
      await hub.client.rewindInstance(id, "try");
      await fails(hub, id);
      assert.equal(runs.get(id), attempt);
    }
    broken.delete(id);
    await hub.client.rewindInstance(id, "try");
    assert.deepEqual(await hub.output(id), ["fine", 4]);
  },
  "of activities side by side only those that failed run again": async (hub) => {
    const id = hub.id();
    await breaks(hub, `${id}-2`, "brokenSideBySide", 5, id);
    await hub.client.rewindInstance(id, "mended");
    assert.deepEqual(await hub.output(id), [1, 1, 2, 1, 1]);
  },
  "a rewind goes on to a child that failed, and its result reaches the parent": async (hub) => {
    const [id, child] = [hub.id("parent"), hub.id("child")];
    await breaks(hub, child, "parentOfBroken", { name: "goodThenBroken", input: 1, child }, id);
    await fails(hub, child);
    await hub.client.rewindInstance(id, "mended");
    assert.deepEqual(await hub.output(id), ["fine", ["fine", 2]]);
    assert.deepEqual([runs.get(`${id}-good`), runs.get(`${child}-good`)], [1, 1]);
  },
  "a rewind finds a child under the default id, which has the execution id from before the rewind": async (hub) => {
    const key = hub.id("key");
    const id = await breaks(hub, key, "parentOfDefaultId", key);
    await hub.client.rewindInstance(id, "mended");
    assert.equal(await hub.output(id), 2);
  },
  "a rewind leaves a child that succeeded as it is": async (hub) => {
    const id = hub.id("parent");
    await breaks(hub, `${id}-b`, "parentOfTwo", 1, id);
    await hub.client.rewindInstance(id, "mended");
    assert.deepEqual(await hub.output(id), [["fine", 1], ["fine", 2]]);
  },
  "a child that failed and was purged is made afresh by the rewind of its parent": async (hub) => {
    const [id, child] = [hub.id("parent"), hub.id("child")];
    await breaks(hub, child, "parentOfBroken", { name: "goodThenBroken", input: 1, child }, id);
    assert.equal((await hub.client.purgeOrchestration(child)).deletedInstanceCount, 1);
    await hub.client.rewindInstance(id, "mended");
    assert.deepEqual(await hub.output(id), ["fine", ["fine", 2]]);
    assert.equal(runs.get(`${child}-good`), 2);
  },
  "an instance whose own code fails, fails again after a rewind": async (hub) => {
    const id = await hub.start("failsByItself");
    await fails(hub, id);
    await hub.client.rewindInstance(id, "in vain");
    assert.equal((await fails(hub, id)).failureDetails.message, "in any case");
    assert.equal(runs.get(id), 1);
  },
  "only an instance that has failed can be rewound": async (hub) => {
    const rewind = (id) => hub.client.rewindInstance(id, "why not");
    await refused(code.NOT_FOUND, () => rewind(hub.id("nobody")));
    const good = await hub.start("returnsIt", 1);
    await hub.output(good);
    await refused(code.FAILED_PRECONDITION, () => rewind(good));
    const waiting = await hub.start("waitsForEnd");
    await hub.says(waiting, "waiting");
    await refused(code.FAILED_PRECONDITION, () => rewind(waiting));
  },
  "an orchestrator in WebAssembly whose JavaScript activity failed can be rewound": async (hub) => {
    const key = hub.id("key");
    const id = await breaks(hub, key, "call_foreign", { name: "worksUnlessBroken", input: key });
    await hub.client.rewindInstance(id, "mended");
    assert.equal(await hub.output(id), 2);
  },
  "a rewind of a JavaScript parent goes on to a child in WebAssembly": async (hub) => {
    const [key, child] = [hub.id("key"), hub.id("child")];
    const foreign = { name: "call_foreign", input: { name: "worksUnlessBroken", input: key }, child };
    const id = await breaks(hub, key, "parentOfBroken", foreign);
    await hub.client.rewindInstance(id, "mended");
    assert.deepEqual(await hub.output(id), ["fine", 2]);
  },
  "a rewind of a parent in WebAssembly goes on to a JavaScript child": async (hub) => {
    const key = hub.id("key");
    const id = await breaks(hub, key, "start_foreign", { name: "callsBroken", input: key });
    await hub.client.rewindInstance(id, "mended");
    assert.equal(await hub.output(id), 2);
  },
  "an instance that has ended is restarted under its id with all that it was started with": async (hub) => {
    const id = await hub.start("returnsIt", { a: 1 }, { instanceId: hub.id(), version: "1.1", tags: { t: "x" } });
    assert.deepEqual(await hub.output(id), [{ a: 1 }, "1.1"]);
    const [, before] = await hub.client.getOrchestrationHistory(id);
    assert.equal(await hub.client.restartOrchestration(id), id);
    assert.deepEqual(await hub.output(id), [{ a: 1 }, "1.1"]);
    const [, started] = await hub.client.getOrchestrationHistory(id);
    assert.notEqual(started.orchestrationInstance.executionId, before.orchestrationInstance.executionId);
    assert.deepEqual([started.tags, parse(started.input)], [{ t: "x" }, { a: 1 }]);
  },
  "an instance is restarted under a new id, in whatever status it is": async (hub) => {
    const [ended, waiting] = [await hub.start("returnsIt", "again"), await hub.start("waitsForEnd")];
    await hub.output(ended);
    await hub.says(waiting, "waiting");
    const other = await hub.client.restartOrchestration(ended, true);
    assert.notEqual(other, ended);
    assert.deepEqual(await hub.output(other), ["again", ""]);
    await hub.says(await hub.client.restartOrchestration(waiting, true), "waiting");
    hub.expectStatus(await hub.state(waiting), "RUNNING");
  },
  "a running instance cannot be restarted under its id, and one that does not exist not at all": async (hub) => {
    const waiting = await hub.start("waitsForEnd");
    await hub.says(waiting, "waiting");
    await refused(code.FAILED_PRECONDITION, () => hub.client.restartOrchestration(waiting));
    await refused(code.NOT_FOUND, () => hub.client.restartOrchestration(hub.id("nobody")));
    await refused(code.NOT_FOUND, () => hub.client.restartOrchestration(hub.id("nobody"), true));
  },
  "an orchestrator in WebAssembly is restarted with its input": async (hub) => {
    const id = await hub.start("started_with", { a: 1 }, { instanceId: hub.id(), tags: { t: "x" } });
    const first = await hub.output(id);
    await hub.client.restartOrchestration(id);
    assert.deepEqual(await hub.output(id), first);
    const other = await hub.client.restartOrchestration(id, true);
    assert.deepEqual(await hub.output(other), { ...first, id: other });
  },
  "an orchestrator in WebAssembly whose JavaScript activities ran side by side can be rewound": async (hub) => {
    const keys = [hub.id("key"), hub.id("key"), hub.id("key")];
    const calls = keys.map((input) => ({ name: "worksUnlessBroken", input }));
    const id = await breaks(hub, keys[1], "foreign_calls", calls);
    await hub.client.rewindInstance(id, "mended");
    // It fails with the first failure. What came later was for an instance that had ended, and is done again.
    const counts = await hub.output(id);
    assert.ok(counts[1] === 2 && counts.every((count) => count === 1 || count === 2), counts);
  },
};
