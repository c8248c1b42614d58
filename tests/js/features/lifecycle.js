// Suspend, resume, terminate, and what an instance says of itself.
"use strict";

const assert = require("node:assert/strict");
const { terminateOptions } = require("@microsoft/durabletask-js");
const { code, eventually, parse, refused } = require("../hub");

/// Activities that wait until a scenario lets them end, by a key.
const gates = new Map();

exports.activities = {
  waitsAtGate: async (_, key) => {
    await gates.get(key).promise;
    return "let through";
  },
  notices: () => "noticed",
};

exports.orchestrators = {
  waitsForThree: async function* (context) {
    context.setCustomStatus("waiting");
    const taken = [];
    while (taken.length < 3) {
      taken.push(yield context.waitForExternalEvent("item"));
      context.setCustomStatus(taken);
    }
    return taken;
  },
  waitsForGo: async function* (context) {
    context.setCustomStatus("waiting");
    return yield context.waitForExternalEvent("go");
  },
  works: async function* (context) {
    context.setCustomStatus("working");
    return yield context.callActivity("waitsAtGate", context.instanceId);
  },
  bystander: async function* (context) {
    return yield context.callActivity("notices");
  },
  naps: async function* (context, millis) {
    context.setCustomStatus("napping");
    yield context.createTimer(millis / 1000);
    return "awake";
  },
  hasChildren: async function* (context, names) {
    const start = (name, n) => context.callSubOrchestrator(name, null, { instanceId: `${context.instanceId}-${n}` });
    const children = names.map(start);
    context.setCustomStatus("waiting");
    for (const child of children) {
      yield child;
    }
  },
  hasAGrandchild: async function* (context) {
    context.setCustomStatus("waiting");
    yield context.callSubOrchestrator("hasChildren", ["waitsForGo"], { instanceId: `${context.instanceId}-child` });
  },
  saysDifferentThings: async function* (context) {
    for (const word of ["one", { two: [2] }, null, "ünïcödé 🌊"]) {
      context.setCustomStatus(word);
      yield context.waitForExternalEvent("next");
    }
    return "said";
  },
};

async function suspended(hub, id) {
  await hub.client.suspendOrchestration(id);
  // Suspended by the time that the call returns.
  hub.expectStatus(await hub.state(id), "SUSPENDED");
}

exports.scenarios = {
  "an instance is suspended when the call returns, keeps its events, and takes them in order when it is resumed": async (
    hub,
  ) => {
    const id = await hub.start("waitsForThree");
    await hub.says(id, "waiting");
    await hub.client.raiseOrchestrationEvent(id, "item", 1);
    await hub.says(id, [1]);
    await suspended(hub, id);
    await hub.client.raiseOrchestrationEvent(id, "item", 2);
    await hub.client.raiseOrchestrationEvent(id, "item", 3);
    hub.expectStatus(await hub.state(id), "SUSPENDED");
    await hub.client.resumeOrchestration(id);
    assert.deepEqual(await hub.output(id), [1, 2, 3]);
  },
  "suspending twice and resuming twice are no errors, and change nothing": async (hub) => {
    const id = await hub.start("waitsForGo");
    await hub.says(id, "waiting");
    await hub.client.resumeOrchestration(id);
    await suspended(hub, id);
    await suspended(hub, id);
    await hub.client.resumeOrchestration(id);
    await hub.client.resumeOrchestration(id);
    await hub.until(id, "RUNNING");
    await hub.client.raiseOrchestrationEvent(id, "go", "gone");
    assert.equal(await hub.output(id), "gone");
  },
  "the result of an activity that ends while its orchestration is suspended is kept until it is resumed": async (hub) => {
    const id = hub.id();
    gates.set(id, Promise.withResolvers());
    await hub.start("works", 1, { instanceId: id });
    await hub.says(id, "working");
    await suspended(hub, id);
    gates.get(id).resolve();
    // Nothing tells a client that the result is there; but what is done later by the same worker is done after it.
    for (let n = 0; n < 3; n += 1) {
      assert.equal(await hub.run("bystander"), "noticed");
    }
    hub.expectStatus(await hub.state(id), "SUSPENDED");
    await hub.client.resumeOrchestration(id);
    assert.equal(await hub.output(id), "let through");
  },
  "a timer that is due while its orchestration is suspended fires when it is resumed": async (hub) => {
    const id = await hub.start("naps", 1000);
    await hub.says(id, "napping");
    await suspended(hub, id);
    const events = await hub.client.getOrchestrationHistory(id);
    const { fireAt } = events.find((event) => event.type === "TimerCreated");
    await eventually("the timer is overdue", () => Date.now() > fireAt.getTime() + 50);
    hub.expectStatus(await hub.state(id), "SUSPENDED");
    await hub.client.resumeOrchestration(id);
    assert.equal(await hub.output(id), "awake");
  },
  "a terminated instance has the output that the client gave": async (hub) => {
    for (const output of ["enough", { why: [1] }]) {
      const id = await hub.start("waitsForGo");
      await hub.says(id, "waiting");
      await hub.client.terminateOrchestration(id, output);
      const state = await hub.ended(id);
      hub.expectStatus(state, "TERMINATED");
      assert.deepEqual(parse(state.serializedOutput), output);
    }
  },
  "a suspended instance can be terminated": async (hub) => {
    const id = await hub.start("waitsForGo");
    await hub.says(id, "waiting");
    await suspended(hub, id);
    await hub.client.terminateOrchestration(id, "enough");
    hub.expectStatus(await hub.ended(id), "TERMINATED");
  },
  "an instance whose start is still to come can be terminated": async (hub) => {
    const id = await hub.start("waitsForGo", null, { startAt: new Date(Date.now() + 3600000) });
    hub.expectStatus(await hub.state(id), "PENDING");
    await hub.client.terminateOrchestration(id, "never mind");
    hub.expectStatus(await hub.ended(id), "TERMINATED");
  },
  "an instance that no worker can run can be terminated": async (hub) => {
    const id = await hub.start("nobodyRunsThis");
    hub.expectStatus(await hub.state(id), "PENDING");
    await hub.client.terminateOrchestration(id, "never mind");
    const state = await hub.ended(id);
    hub.expectStatus(state, "TERMINATED");
    assert.equal(parse(state.serializedOutput), "never mind");
  },
  "terminating an instance that has ended changes nothing": async (hub) => {
    const id = await hub.start("naps", 1);
    assert.equal(await hub.output(id), "awake");
    await hub.client.terminateOrchestration(id, "too late");
    assert.equal(await hub.output(id), "awake");
  },
  "to terminate, suspend or resume an instance that does not exist is NOT_FOUND": async (hub) => {
    const { client } = hub;
    await refused(code.NOT_FOUND, () => client.terminateOrchestration(hub.id("nobody")));
    await refused(code.NOT_FOUND, () => client.suspendOrchestration(hub.id("nobody")));
    await refused(code.NOT_FOUND, () => client.resumeOrchestration(hub.id("nobody")));
  },
  "a recursive termination reaches children and grandchildren": async (hub) => {
    const top = await hub.start("hasAGrandchild");
    const family = [top, `${top}-child`, `${top}-child-0`];
    await hub.says(family[2], "waiting");
    await hub.client.terminateOrchestration(top, terminateOptions({ output: "all of you", recursive: true }));
    for (const id of family) {
      hub.expectStatus(await hub.ended(id), "TERMINATED");
    }
    assert.equal(parse((await hub.state(top)).serializedOutput), "all of you");
  },
  "a termination that is not recursive, which the SDK's is not by itself, leaves the children running": async (hub) => {
    const top = await hub.start("hasChildren", ["waitsForGo"]);
    await hub.says(`${top}-0`, "waiting");
    await hub.client.terminateOrchestration(top, "only you");
    hub.expectStatus(await hub.ended(top), "TERMINATED");
    hub.expectStatus(await hub.state(`${top}-0`), "RUNNING");
    await hub.client.raiseOrchestrationEvent(`${top}-0`, "go", "on");
    assert.equal(await hub.output(`${top}-0`), "on");
  },
  "a recursive termination reaches suspended children, and spares those that have ended": async (hub) => {
    const top = await hub.start("hasChildren", ["waitsForGo", "waitsForGo"]);
    await hub.says(`${top}-0`, "waiting");
    await hub.says(`${top}-1`, "waiting");
    await hub.client.raiseOrchestrationEvent(`${top}-0`, "go", "done");
    assert.equal(await hub.output(`${top}-0`), "done");
    await suspended(hub, `${top}-1`);
    await hub.client.terminateOrchestration(top, terminateOptions({ recursive: true }));
    hub.expectStatus(await hub.ended(`${top}-1`), "TERMINATED");
    assert.equal(await hub.output(`${top}-0`), "done");
  },
  "the custom status is what the orchestrator said last, and nothing after it took it back": async (hub) => {
    const id = await hub.start("saysDifferentThings");
    for (const word of ["one", { two: [2] }]) {
      await hub.says(id, word);
      await hub.client.raiseOrchestrationEvent(id, "next");
    }
    await eventually("it is taken back", async () => (await hub.state(id)).serializedCustomStatus === undefined);
    await hub.client.raiseOrchestrationEvent(id, "next");
    await hub.says(id, "ünïcödé 🌊");
    await hub.client.raiseOrchestrationEvent(id, "next");
    assert.equal(await hub.output(id), "said");
    const brief = await hub.client.getOrchestrationState(id, false);
    assert.equal(parse(brief.serializedCustomStatus), "ünïcödé 🌊");
  },
  "tags that an instance is started with are in its state, in its history, and told to the orchestrator": async (hub) => {
    const tags = { colour: "red", größe: "", "a b": "🌊" };
    const id = await hub.start("started_with", { x: 1 }, { tags });
    assert.deepEqual(Object.fromEntries((await hub.output(id)).tags), tags);
    assert.deepEqual((await hub.state(id)).tags, tags);
    assert.deepEqual((await hub.client.getOrchestrationHistory(id))[1].tags, tags);
  },
  "an orchestrator in WebAssembly can be suspended, resumed and terminated by a JavaScript client": async (hub) => {
    const id = await hub.start("approval", 60000);
    await hub.says(id, "waiting for the approval");
    await suspended(hub, id);
    await hub.client.raiseOrchestrationEvent(id, "approval", "late");
    hub.expectStatus(await hub.state(id), "SUSPENDED");
    await hub.client.resumeOrchestration(id);
    assert.match(await hub.output(id), /late/);
    const other = await hub.start("forever", null);
    await hub.until(other, "RUNNING");
    await hub.client.terminateOrchestration(other, "enough");
    hub.expectStatus(await hub.ended(other), "TERMINATED");
  },
  "a recursive termination goes from a JavaScript parent to a child in WebAssembly": async (hub) => {
    const top = await hub.start("hasChildren", ["forever"]);
    await hub.until(`${top}-0`, "RUNNING");
    await hub.client.terminateOrchestration(top, terminateOptions({ recursive: true }));
    hub.expectStatus(await hub.ended(`${top}-0`), "TERMINATED");
  },
  "a recursive termination goes from a parent in WebAssembly to a JavaScript child and its children": async (hub) => {
    const top = await hub.start("start_foreign", { name: "hasChildren", input: ["waitsForGo"] });
    const created = await eventually("the child is created", async () =>
      (await hub.client.getOrchestrationHistory(top)).find((event) => event.type === "SubOrchestrationInstanceCreated"),
    );
    const middle = created.instanceId;
    await hub.says(`${middle}-0`, "waiting");
    await hub.client.terminateOrchestration(top, terminateOptions({ recursive: true }));
    for (const id of [top, middle, `${middle}-0`]) {
      hub.expectStatus(await hub.ended(id), "TERMINATED");
    }
  },
};
