// A task hub as the scenarios see it: a client, workers, and short words for what every scenario does.
"use strict";

const assert = require("node:assert/strict");
const {
  NoOpLogger,
  OrchestrationStatus,
  TaskHubGrpcClient,
  TaskHubGrpcWorker,
} = require("@microsoft/durabletask-js");
const { Metadata, status: code } = require("@grpc/grpc-js");

/// Seconds that a scenario waits for an instance.
const PATIENCE = 30;

class Hub {
  constructor(address, scope, name) {
    this.prefix = scope;
    this.address = address;
    this.connection = {
      hostAddress: address,
      logger: new NoOpLogger(),
      // Plain SDKs do not name a hub; those of the managed flavours do so in a header.
      metadataGenerator: async () => {
        const metadata = new Metadata();
        if (name) {
          metadata.set("taskhub", name);
        }
        return metadata;
      },
    };
    this.client = new TaskHubGrpcClient(this.connection);
    this.made = 0;
  }

  /// The same hub for one scenario, whose ids begin with its own prefix.
  scope(name) {
    const scoped = Object.create(Hub.prototype);
    return Object.assign(scoped, this, { prefix: `${this.prefix}-${name}`, made: 0 });
  }

  /// An id that no other scenario uses.
  id(word = "") {
    this.made += 1;
    return `${this.prefixOfIds()}${this.made}${word && `-${word}`}`;
  }

  prefixOfIds() {
    return `js-${process.pid}-${this.prefix}-`;
  }

  /// Starts a worker. It says what it runs, so that the hub may be mixed with other workers.
  async work({ orchestrators = {}, activities = {}, entities = {} }, options = {}) {
    const worker = new TaskHubGrpcWorker({
      ...this.connection,
      workItemFilters: "auto",
      ...options,
    });
    for (const [name, orchestrator] of Object.entries(orchestrators)) {
      worker.addNamedOrchestrator(name, orchestrator);
    }
    for (const [name, activity] of Object.entries(activities)) {
      worker.addNamedActivity(name, activity);
    }
    for (const [name, factory] of Object.entries(entities)) {
      worker.addNamedEntity(name, factory);
    }
    await worker.start();
    return worker;
  }

  /// Starts an instance and returns its id.
  async start(name, input, options = {}) {
    return await this.client.scheduleNewOrchestration(name, input, { instanceId: this.id(name), ...options });
  }

  /// An instance as it ended.
  async ended(id) {
    const state = await this.client.waitForOrchestrationCompletion(id, true, PATIENCE);
    assert.ok(state, `${id} is there`);
    return state;
  }

  /// What an instance returned.
  async output(id) {
    const state = await this.ended(id);
    this.expectStatus(state, "COMPLETED");
    return parse(state.serializedOutput);
  }

  /// Starts an instance and returns what it returned.
  async run(name, input, options) {
    return await this.output(await this.start(name, input, options));
  }

  /// Starts an instance that must fail, and returns the failure.
  async failure(name, input, options) {
    const state = await this.ended(await this.start(name, input, options));
    this.expectStatus(state, "FAILED");
    return state.failureDetails;
  }

  async state(id) {
    return await this.client.getOrchestrationState(id);
  }

  expectStatus(state, status) {
    const details = state?.failureDetails && `: ${state.failureDetails.errorType}: ${state.failureDetails.message}`;
    const words = `${state?.instanceId} is ${OrchestrationStatus[state?.runtimeStatus]}, expected ${status}${details ?? ""}`;
    assert.equal(state?.runtimeStatus, OrchestrationStatus[status], words);
  }

  /// Waits until an instance has a status.
  async until(id, status) {
    return await eventually(`${id} is ${status}`, async () => {
      const state = await this.state(id);
      return state?.runtimeStatus === OrchestrationStatus[status] ? state : undefined;
    });
  }

  /// Waits until an instance says something in its custom status.
  async says(id, word) {
    return await eventually(`${id} says ${word}`, async () => {
      const state = await this.state(id);
      return state?.serializedCustomStatus === JSON.stringify(word) ? state : undefined;
    });
  }

  async history(id) {
    for (;;) {
      try {
        return await this.client.getOrchestrationHistory(id);
      } catch (error) {
        // It has continued as new while it was read, so what was read is gone.
        if (error.code !== code.ABORTED) {
          throw error;
        }
      }
    }
  }

  /// The types of an instance's history, in order.
  async events(id) {
    return (await this.history(id)).map((event) => event.type);
  }
}

/// What a serialized payload holds.
function parse(text) {
  return text === undefined || text === "" ? undefined : JSON.parse(text);
}

/// Tries until something is found.
async function eventually(what, look) {
  const begun = Date.now();
  for (;;) {
    const found = await look();
    if (found) {
      return found;
    }
    assert.ok(Date.now() - begun < PATIENCE * 1000, `did not come about within ${PATIENCE} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/// That a call is refused with a gRPC status code, which the SDK hides behind an error of its own in some calls.
async function refused(expected, call) {
  try {
    await call();
  } catch (error) {
    const actual = error.code ?? error.cause?.code;
    assert.equal(actual, expected, `expected ${code[expected]}, actual ${code[actual]}: ${error}`);
    return error;
  }
  assert.fail(`was not refused with ${code[expected]}`);
}

module.exports = { Hub, code, eventually, parse, refused };
