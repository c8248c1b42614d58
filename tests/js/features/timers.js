// Durable timers.
"use strict";

const assert = require("node:assert/strict");
const { whenAll, whenAny } = require("@microsoft/durabletask-js");

const DAY = 24 * 3600;

exports.activities = {
  instantly: (_, input) => input,
};

exports.orchestrators = {
  sleeps: async function* (context, millis) {
    const begun = context.currentUtcDateTime;
    yield context.createTimer(millis / 1000);
    return context.currentUtcDateTime - begun;
  },
  sleepsUntilThePast: async function* (context) {
    yield context.createTimer(-DAY);
    yield context.createTimer(new Date(2001, 0, 1));
    yield context.createTimer(0);
    return "at once";
  },
  wakesInOrder: async function* (context, millis) {
    const timers = new Map(millis.map((count) => [context.createTimer(count / 1000), count]));
    const order = [];
    while (timers.size > 0) {
      const first = yield whenAny([...timers.keys()]);
      order.push(timers.get(first));
      timers.delete(first);
    }
    return order;
  },
  manyTimers: async function* (context, width) {
    yield whenAll(Array.from({ length: width }, (_, n) => context.createTimer(0.02 + (n % 10) / 1000)));
    return width;
  },
  outrunsATimer: async function* (context) {
    const timer = context.createTimer(3600);
    const quick = context.callActivity("instantly", "quick");
    const winner = yield whenAny([timer, quick]);
    return winner === quick ? winner.getResult() : "the timer";
  },
  cancelsATimer: async function* (context) {
    const timer = context.createTimer(3600);
    yield context.callActivity("instantly", 1);
    timer.cancel();
    yield context.createTimer(0.001);
    return timer.isCanceled ?? timer.isCancelled;
  },
  sleepsForAges: async function* (context, days) {
    yield context.createTimer(days * DAY);
  },
  napsBetweenChildren: async function* (context) {
    const slept = [];
    for (let n = 0; n < 2; n += 1) {
      slept.push(yield context.callSubOrchestrator("sleep", 20));
      yield context.createTimer(0.005);
    }
    return slept;
  },
};

exports.scenarios = {
  "a timer fires when it is due, and never early by the orchestrator's own clock": async (hub) => {
    for (const millis of [1, 50, 300]) {
      const slept = await hub.run("sleeps", millis);
      assert.ok(millis <= slept && slept < millis + 5000, `slept for ${slept} ms instead of ${millis}`);
    }
  },
  "a timer fires at the time that it was created with, and is recorded so": async (hub) => {
    const id = await hub.start("sleeps", 30);
    await hub.output(id);
    const events = await hub.client.getOrchestrationHistory(id);
    const created = events.find((event) => event.type === "TimerCreated");
    const fired = events.find((event) => event.type === "TimerFired");
    assert.deepEqual([fired.timerId, fired.fireAt], [created.eventId, created.fireAt]);
  },
  "a timer that is due in the past fires at once": async (hub) => {
    assert.equal(await hub.run("sleepsUntilThePast"), "at once");
  },
  "timers fire in the order of their times, not of their creation": async (hub) => {
    assert.deepEqual(await hub.run("wakesInOrder", [240, 20, 160, 80]), [20, 80, 160, 240]);
  },
  "200 timers of one orchestration all fire": async (hub) => {
    assert.equal(await hub.run("manyTimers", 200), 200);
  },
  "an orchestration ends while a timer that it does not wait for is pending": async (hub) => {
    assert.equal(await hub.run("outrunsATimer"), "quick");
  },
  "a timer that is cancelled after it was created does not disturb": async (hub) => {
    assert.equal(await hub.run("cancelsATimer"), true);
  },
  "a timer of ten years waits, in one piece, and its orchestration can be terminated": async (hub) => {
    const id = await hub.start("sleepsForAges", 3650);
    await hub.until(id, "RUNNING");
    const created = (await hub.client.getOrchestrationHistory(id)).filter((event) => event.type === "TimerCreated");
    assert.ok(created.length === 1 && created[0].fireAt - created[0].timestamp > 3649 * DAY * 1000, created);
    await hub.client.terminateOrchestration(id);
    hub.expectStatus(await hub.ended(id), "TERMINATED");
  },
  "children in WebAssembly that sleep, and a JavaScript parent that sleeps, wake": async (hub) => {
    const slept = await hub.run("napsBetweenChildren");
    assert.ok(slept.length === 2 && Math.min(...slept) >= 20, slept);
  },
  "an orchestrator in WebAssembly gives up on a JavaScript activity that takes too long, and takes one that does not": async (
    hub,
  ) => {
    assert.equal(await hub.run("foreign_race", { call: { name: "nobodyHasThis" }, millis: 30 }), "timed out");
    const quick = { call: { name: "instantly", input: "quick" }, millis: 60000 };
    assert.equal(await hub.run("foreign_race", quick), "quick");
  },
};
