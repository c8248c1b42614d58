// Entities in JavaScript: in class style, with calls, signals, locks and queries. Orchestrators in JavaScript and in WebAssembly call them.
"use strict";

const assert = require("node:assert/strict");
const { EntityInstanceId, TaskEntity, whenAll } = require("@microsoft/durabletask-js");
const { eventually } = require("../hub");

class Purse extends TaskEntity {
  initializeState() {
    return { money: 0 };
  }

  add(amount) {
    this.state.money += amount;
    return this.state.money;
  }

  get() {
    return this.state.money;
  }

  take(amount) {
    this.state.money -= amount;
    if (this.state.money < 0) {
      throw new Error("there is not so much");
    }
    return this.state.money;
  }

  give({ to, amount }) {
    this.take(amount);
    this.context.signalEntity(new EntityInstanceId("JsPurse", to), "add", amount);
  }

  addLater({ amount, millis }) {
    const options = { signalTime: new Date(Date.now() + millis) };
    this.context.signalEntity(this.context.id, "add", amount, options);
  }

  report() {
    return this.context.scheduleNewOrchestration("writesDown", this.state.money);
  }
}

exports.entities = { JsPurse: () => new Purse() };

const purse = (key) => new EntityInstanceId("JsPurse", key);

exports.orchestrators = {
  uses: async function* (context, key) {
    context.entities.signalEntity(purse(key), "add", 10);
    const added = yield context.entities.callEntity(purse(key), "add", 5);
    let failure = "nothing";
    try {
      yield context.entities.callEntity(purse(key), "take", 100);
    } catch (error) {
      failure = error.message;
    }
    return [added, failure, yield context.entities.callEntity(purse(key), "get")];
  },
  calls: async function* (context, [name, key, operation, input]) {
    return yield context.entities.callEntity(new EntityInstanceId(name, key), operation, input);
  },
  writesDown: async function* (_context, money) {
    return money;
  },
  moves: async function* (context, { from, to, amount }) {
    const lock = yield context.entities.lockEntities(purse(from), purse(to));
    assert.ok(context.entities.isInCriticalSection().inSection);
    try {
      if ((yield context.entities.callEntity(purse(from), "get")) < amount) {
        return false;
      }
      yield whenAll([
        context.entities.callEntity(purse(from), "take", amount),
        context.entities.callEntity(purse(to), "add", amount),
      ]);
      return true;
    } finally {
      lock.release();
    }
  },
  holds: async function* (context, key) {
    yield context.entities.lockEntities(purse(key));
    context.setCustomStatus("locked");
    yield context.waitForExternalEvent("go on");
    return "released by its end";
  },
};

/// The state of an entity, once it is as it must be.
async function becomes(hub, id, expected) {
  await eventually(`${id} is ${JSON.stringify(expected)}`, async () => {
    const entity = await hub.client.getEntity(id, true);
    return entity?.includesState && JSON.stringify(entity.state) === JSON.stringify(expected);
  });
}

exports.scenarios = {
  "an operation changes the state, and one that fails changes nothing": async (hub) => {
    const [added, failure, money] = await hub.run("uses", hub.id());
    assert.deepEqual([added, money], [15, 15]);
    assert.match(failure, /not so much/);
  },
  "clients signal entities, now and later, and look at them": async (hub) => {
    const id = purse(hub.id());
    assert.equal(await hub.client.getEntity(id), undefined);
    await hub.client.signalEntity(id, "add", 3);
    await becomes(hub, id, { money: 3 });
    await hub.client.signalEntity(id, "add", 4, { signalTime: new Date(Date.now() + 300) });
    await hub.client.signalEntity(id, "addLater", { amount: 5, millis: 300 });
    await becomes(hub, id, { money: 12 });
    const bare = await hub.client.getEntity(id, false);
    assert.equal(bare.includesState, false);
    assert.equal(bare.backlogQueueSize, 0);
    await hub.client.signalEntity(id, "delete");
    await eventually("it is deleted", async () => (await hub.client.getEntity(id)) === undefined);
  },
  "entities signal others and start orchestrations": async (hub) => {
    const [from, to] = [hub.id("from"), hub.id("to")];
    await hub.run("calls", ["JsPurse", from, "add", 9]);
    await hub.run("calls", ["JsPurse", from, "give", { to, amount: 4 }]);
    await becomes(hub, purse(to), { money: 4 });
    assert.equal(await hub.output(await hub.run("calls", ["JsPurse", from, "report"])), 5);
  },
  "money moves under locks, and none is made or lost": async (hub) => {
    const [one, other] = [hub.id("one"), hub.id("other")];
    await hub.run("calls", ["JsPurse", one, "add", 50]);
    await hub.run("calls", ["JsPurse", other, "add", 50]);
    const orders = Array.from({ length: 20 }, (_, number) =>
      number % 2 ? { from: one, to: other, amount: number } : { from: other, to: one, amount: number },
    );
    const moved = await Promise.all(orders.map((order) => hub.run("moves", order)));
    assert.ok(moved.some(Boolean));
    const states = await Promise.all([one, other].map((key) => hub.client.getEntity(purse(key), true)));
    assert.equal(states[0].state.money + states[1].state.money, 100);
    assert.deepEqual(states.map((entity) => entity.lockedBy ?? ""), ["", ""]);
  },
  "others wait for the end of who has locked an entity, however it ends": async (hub) => {
    for (const ends of ["completes", "is terminated"]) {
      const key = hub.id();
      const holder = await hub.start("holds", key);
      await hub.says(holder, "locked");
      assert.equal((await hub.client.getEntity(purse(key))).lockedBy, holder);
      const waiting = await hub.start("calls", ["JsPurse", key, "add", 1]);
      await hub.client.signalEntity(purse(key), "add", 1);
      await eventually("both wait", async () => (await hub.client.getEntity(purse(key))).backlogQueueSize === 2);
      if (ends === "completes") {
        await hub.client.raiseOrchestrationEvent(holder, "go on");
      } else {
        await hub.client.terminateOrchestration(holder, "enough");
      }
      await hub.output(waiting);
      await becomes(hub, purse(key), { money: 2 });
    }
  },
  "entities are queried by the beginning of their ids": async (hub) => {
    const keys = ["a", "b", "c"].map((key) => hub.id(key));
    await Promise.all(keys.map((key) => hub.run("calls", ["JsPurse", key, "add", 1])));
    const found = [];
    const query = { instanceIdStartsWith: `@jspurse@${hub.prefixOfIds()}`, includeState: true, pageSize: 2 };
    for await (const entity of hub.client.getEntities(query)) {
      assert.deepEqual(entity.state, { money: 1 });
      found.push(entity.id.key);
    }
    assert.deepEqual(found.sort(), keys.sort());
    const cleaned = await hub.client.cleanEntityStorage();
    assert.deepEqual([cleaned.emptyEntitiesRemoved, cleaned.orphanedLocksReleased], [0, 0]);
  },
  "an operation that there is not fails its call": async (hub) => {
    const failure = await hub.failure("calls", ["JsPurse", hub.id(), "steal"]);
    assert.match(JSON.stringify(failure), /steal/i);
  },
};
