// Workers that stop, are killed, or share the work.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const path = require("node:path");
const { createInterface } = require("node:readline");
const { whenAll } = require("@microsoft/durabletask-js");

/// A worker in a process of its own, which hangs in the middle of its work until it is killed.
class Victim {
  static async start(hub, orchestrator, activity = "unused") {
    const victim = new Victim();
    const script = path.join(__dirname, "..", "victim.js");
    victim.process = spawn(process.execPath, [script, hub.address, orchestrator, activity], {
      // It ends when its standard input does, so that it does not outlive this process.
      stdio: ["pipe", "pipe", "inherit"],
    });
    victim.lines = createInterface({ input: victim.process.stdout })[Symbol.asyncIterator]();
    await victim.says("worker ready");
    return victim;
  }

  async says(text) {
    for (;;) {
      const { done, value } = await this.lines.next();
      assert.ok(!done, `the worker ended before it said \`${text}\``);
      if (value.includes(text)) {
        return;
      }
    }
  }

  async kill() {
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await gone;
  }
}

/// What the victim runs, without its hang.
const secondWorker = (name) => ({
  orchestrators: {
    [name]: async function* (context) {
      return yield context.callActivity("quick");
    },
  },
  activities: { quick: () => "quick" },
});

const second = (name) => ({ activities: { [name]: () => "the second worker's" } });

exports.orchestrators = {
  callsSlowly: async function* (context, name) {
    return yield context.callActivity(name);
  },
};

exports.scenarios = {
  "a worker that is killed in the middle of a turn loses nothing, and another one goes on": async (hub) => {
    const victim = await Victim.start(hub, "killedInATurn");
    const id = await hub.start("killedInATurn");
    await victim.says("in the middle of a turn");
    await hub.work(secondWorker("killedInATurn"));
    hub.expectStatus(await hub.state(id), "RUNNING");
    await victim.kill();
    assert.equal(await hub.output(id), "quick");
    assert.deepEqual(await hub.events(id), [
      "OrchestratorStarted",
      "ExecutionStarted",
      "TaskScheduled",
      "OrchestratorStarted",
      "TaskCompleted",
      "ExecutionCompleted",
    ]);
  },
  "an activity whose worker is killed runs again on another one": async (hub) => {
    const victim = await Victim.start(hub, "unused", "killedInAnActivity");
    const id = await hub.start("callsSlowly", "killedInAnActivity");
    await victim.says("in the middle of an activity");
    await hub.work(second("killedInAnActivity"));
    await victim.kill();
    assert.equal(await hub.output(id), "the second worker's");
    const events = await hub.events(id);
    assert.deepEqual(["TaskScheduled", "TaskCompleted"].map((type) => events.filter((e) => e === type).length), [1, 1]);
  },
  "a worker that stops finishes its activity, and the result counts although its stream is gone": async (hub) => {
    let runs = 0;
    const finish = Promise.withResolvers();
    const running = Promise.withResolvers();
    const work = {
      activities: {
        finishedWhileStopping: async () => {
          runs += 1;
          running.resolve();
          await finish.promise;
          return "from the one that stopped";
        },
      },
    };
    const first = await hub.work(work);
    const id = await hub.start("callsSlowly", "finishedWhileStopping");
    await running.promise;
    // Its stream is cancelled at once, and the scheduler waits a little for what its worker still has.
    const stopped = first.stop();
    await hub.work(work);
    finish.resolve();
    assert.equal(await hub.output(id), "from the one that stopped");
    await stopped;
    assert.equal(runs, 1);
  },
  "two workers share a fan-out": async (hub) => {
    const by = [0, 0];
    const activity = (who) => async (_, number) => {
      by[who] += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return number;
    };
    const fansOut = async function* (context, width) {
      return yield whenAll(Array.from({ length: width }, (_, n) => context.callActivity("sharedActivity", n)));
    };
    await hub.work({ orchestrators: { fansOutToTwo: fansOut } });
    await hub.work({ activities: { sharedActivity: activity(0) } });
    await hub.work({ activities: { sharedActivity: activity(1) } });
    assert.deepEqual(await hub.run("fansOutToTwo", 150), Array.from({ length: 150 }, (_, n) => n));
    assert.ok(by[0] > 0 && by[1] > 0 && by[0] + by[1] === 150, by);
  },
  "an activity in JavaScript whose worker is killed runs again for an orchestrator in WebAssembly": async (hub) => {
    const victim = await Victim.start(hub, "unused", "killedForWebAssembly");
    const id = await hub.start("call_foreign", { name: "killedForWebAssembly", input: null });
    await victim.says("in the middle of an activity");
    await victim.kill();
    await hub.work(second("killedForWebAssembly"));
    assert.equal(await hub.output(id), "the second worker's");
  },
  "a child in JavaScript whose worker is killed in the middle of a turn still answers its parent in WebAssembly": async (
    hub,
  ) => {
    const victim = await Victim.start(hub, "killedChild");
    const parent = await hub.start("start_foreign", { name: "killedChild", input: null });
    await victim.says("in the middle of a turn");
    await victim.kill();
    await hub.work(secondWorker("killedChild"));
    assert.equal(await hub.output(parent), "quick");
  },
};
