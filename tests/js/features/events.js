// External events: names, order, buffers, races with timers, senders and receivers in JavaScript and in WebAssembly.
"use strict";

const assert = require("node:assert/strict");
const { whenAll, whenAny } = require("@microsoft/durabletask-js");
const { code, refused } = require("../hub");

exports.activities = {
  doesNothing: () => undefined,
};

exports.orchestrators = {
  takes: async function* (context, names) {
    context.setCustomStatus("waiting");
    const taken = [];
    for (const name of names) {
      taken.push(yield context.waitForExternalEvent(name));
    }
    return taken;
  },
  takesLate: async function* (context, count) {
    context.setCustomStatus("busy");
    yield context.waitForExternalEvent("now");
    const taken = [];
    while (taken.length < count) {
      taken.push(yield context.waitForExternalEvent("item"));
    }
    return taken;
  },
  takesAllAtOnce: async function* (context, count) {
    context.setCustomStatus("waiting");
    return yield whenAll(Array.from({ length: count }, () => context.waitForExternalEvent("item")));
  },
  waitsAtMost: async function* (context, millis) {
    const event = context.waitForExternalEvent("approval");
    const timeout = context.createTimer(millis / 1000);
    context.setCustomStatus("waiting");
    const winner = yield whenAny([event, timeout]);
    return winner === event ? event.getResult() : "timed out";
  },
  sends: async function* (context, messages) {
    for (const [to, name, data] of messages) {
      context.sendEvent(to, name, data);
    }
    yield context.callActivity("doesNothing");
    return "sent";
  },
  sendsLast: async function* (context, to) {
    context.sendEvent(to, "item", "with the completion");
    return "sent";
  },
  talksToItself: async function* (context) {
    context.sendEvent(context.instanceId, "echo", "hello me");
    return yield context.waitForExternalEvent("echo");
  },
};

exports.scenarios = {
  "an event resolves the wait for its name, with its payload": async (hub) => {
    const payloads = [null, 0, "", "text 🌊", [1, { a: null }], { deep: { er: [true] } }];
    const id = await hub.start("takes", payloads.map(() => "e"));
    await hub.says(id, "waiting");
    for (const payload of payloads) {
      await hub.client.raiseOrchestrationEvent(id, "e", payload);
    }
    assert.deepEqual(await hub.output(id), payloads);
  },
  "events that come before anybody waits are kept in order": async (hub) => {
    const id = await hub.start("takesLate", 5);
    await hub.says(id, "busy");
    for (let n = 0; n < 5; n += 1) {
      await hub.client.raiseOrchestrationEvent(id, "item", n);
    }
    await hub.client.raiseOrchestrationEvent(id, "now");
    assert.deepEqual(await hub.output(id), [0, 1, 2, 3, 4]);
  },
  "events that are raised right after the start are there when the orchestrator first runs": async (hub) => {
    const id = await hub.start("takes", ["b", "a"]);
    await hub.client.raiseOrchestrationEvent(id, "a", 1);
    await hub.client.raiseOrchestrationEvent(id, "b", 2);
    assert.deepEqual(await hub.output(id), [2, 1]);
  },
  "an event to an instance whose start is still to come is kept for it": async (hub) => {
    const id = await hub.start("takes", ["a"], { startAt: new Date(Date.now() + 300) });
    await hub.client.raiseOrchestrationEvent(id, "a", "early");
    hub.expectStatus(await hub.state(id), "PENDING");
    assert.deepEqual(await hub.output(id), ["early"]);
  },
  "names of events are compared without case, and recorded as they were sent": async (hub) => {
    const id = await hub.start("takes", ["Approval", "äPPROVAL"]);
    await hub.says(id, "waiting");
    await hub.client.raiseOrchestrationEvent(id, "aPPROVAL", 1);
    await hub.client.raiseOrchestrationEvent(id, "ÄPProval", 2);
    assert.deepEqual(await hub.output(id), [1, 2]);
    const events = await hub.client.getOrchestrationHistory(id);
    const names = events.filter((event) => event.type === "EventRaised").map((event) => event.name);
    assert.deepEqual(names, ["aPPROVAL", "ÄPProval"]);
  },
  "several waits for one name are resolved in order, one by each event": async (hub) => {
    const id = await hub.start("takesAllAtOnce", 10);
    await hub.says(id, "waiting");
    for (let n = 0; n < 10; n += 1) {
      await hub.client.raiseOrchestrationEvent(id, "item", n);
    }
    assert.deepEqual(await hub.output(id), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  },
  "an event that comes in time wins against a timer": async (hub) => {
    const id = await hub.start("waitsAtMost", 60000);
    await hub.says(id, "waiting");
    await hub.client.raiseOrchestrationEvent(id, "approval", "yes");
    assert.equal(await hub.output(id), "yes");
  },
  "a timer wins against an event that does not come": async (hub) => {
    assert.equal(await hub.run("waitsAtMost", 20), "timed out");
  },
  "an event to an instance that does not exist is NOT_FOUND": async (hub) => {
    await refused(code.NOT_FOUND, () => hub.client.raiseOrchestrationEvent(hub.id("nobody"), "e"));
  },
  "an event to an instance that has ended is accepted and dropped": async (hub) => {
    const id = await hub.start("takes", []);
    assert.deepEqual(await hub.output(id), []);
    await hub.client.raiseOrchestrationEvent(id, "late");
    assert.equal((await hub.events(id)).at(-1), "ExecutionCompleted");
  },
  "an orchestration sends events to another one, which takes them in order": async (hub) => {
    const receiver = await hub.start("takes", ["a", "b", "a"]);
    await hub.says(receiver, "waiting");
    await hub.run("sends", [[receiver, "a", 1], [receiver, "b", 2], [receiver, "a", 3]]);
    assert.deepEqual(await hub.output(receiver), [1, 2, 3]);
  },
  "an event that is sent together with the completion arrives": async (hub) => {
    const receiver = await hub.start("takes", ["item"]);
    await hub.says(receiver, "waiting");
    assert.equal(await hub.run("sendsLast", receiver), "sent");
    assert.deepEqual(await hub.output(receiver), ["with the completion"]);
  },
  "an orchestration can send an event to itself": async (hub) => {
    assert.equal(await hub.run("talksToItself"), "hello me");
  },
  "an event that is sent to nobody is recorded by its sender, and dropped": async (hub) => {
    const sender = await hub.start("sends", [[hub.id("nobody"), "a", 1]]);
    assert.equal(await hub.output(sender), "sent");
    assert.equal((await hub.events(sender)).filter((type) => type === "EventSent").length, 1);
  },
  "500 events to one instance all arrive, in order": async (hub) => {
    const id = await hub.start("takesLate", 500);
    for (let n = 0; n < 500; n += 1) {
      await hub.client.raiseOrchestrationEvent(id, "item", n);
    }
    await hub.client.raiseOrchestrationEvent(id, "now");
    assert.deepEqual(await hub.output(id), Array.from({ length: 500 }, (_, n) => n));
  },
  "a JavaScript client raises events for an orchestrator in WebAssembly": async (hub) => {
    const id = await hub.start("approval", 60000);
    await hub.says(id, "waiting for the approval");
    await hub.client.raiseOrchestrationEvent(id, "Approval", { by: "javascript" });
    assert.match(await hub.output(id), /"by":\s*"javascript"/);
  },
  "a JavaScript orchestrator sends an event to an orchestrator in WebAssembly": async (hub) => {
    const receiver = await hub.start("approval", 60000);
    await hub.says(receiver, "waiting for the approval");
    await hub.run("sends", [[receiver, "approval", "from javascript"]]);
    assert.match(await hub.output(receiver), /from javascript/);
  },
  "an orchestrator in WebAssembly sends an event to a JavaScript orchestrator": async (hub) => {
    const receiver = await hub.start("takes", ["greeting"]);
    await hub.says(receiver, "waiting");
    await hub.run("send", { to: receiver, event: "greeting", payload: { from: "wasm" } });
    assert.deepEqual(await hub.output(receiver), [{ from: "wasm" }]);
  },
};
