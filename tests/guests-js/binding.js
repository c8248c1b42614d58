// A thin binding of `wit/workflow.wit`: just enough to write orchestrators and activities in plain JavaScript.
//
// An orchestrator is a generator function: it yields what it waits for, one thing at a time. (Promises do not run within a
// call of the host, in either engine: a full SDK brings its own.) The module that is componentized exports what this returns:
//
//     export const { component, orchestrator, queries, activity } = exports("shop", "1.0.0", { orchestrators, activities });

/** A call that failed. */
export class ActivityFailed extends Error {
  constructor(failures) {
    super(failures[0].message);
    this.failures = failures;
  }
}

/** What an orchestrator works with. */
class Context {
  #op = 0;
  #wide;

  constructor(context, wide) {
    this.#wide = wide;
    this.instanceId = context.instanceId;
    this.now = context.now;
    this.seed = context.seed;
    this.commands = [];
  }

  /** Runs an activity. */
  callActivity(name, value) {
    return this.#issue({ tag: "activity", val: { name, input: write(value), tags: [] } });
  }

  /** Waits for this many seconds. */
  createTimer(seconds) {
    const { seconds: now, nanos } = this.now;
    return this.#issue({ tag: "timer", val: { seconds: this.#wide(Number(now) + seconds), nanos } });
  }

  /** Waits for an external event. */
  waitForEvent(name) {
    return this.#issue({ tag: "wait-event", val: name });
  }

  #issue(request) {
    this.#op += 1;
    this.commands.push({ tag: "issue", val: [this.#wide(this.#op), request] });
    return this.#op;
  }

  /** The commands since the last time. */
  take() {
    const commands = this.commands;
    this.commands = [];
    return commands;
  }
}

const write = (value) => JSON.stringify(value ?? null);
const read = (payload) => (payload === undefined || payload === null ? null : JSON.parse(payload));

function failures(error) {
  if (error instanceof ActivityFailed) return error.failures;
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return [{ errorType: name, message, stack, retriable: true, properties: [] }];
}

/**
 * What the contract wants to be exported. `wide` makes what the engine takes for an integer of 64 bits of a number; `begin` is told
 * when an orchestration begins and each time that it goes on.
 */
export function exports(name, version, { orchestrators = {}, activities = {}, wide = BigInt, begin = () => {} }) {
  const definitions = (functions) => Object.keys(functions).map((name) => ({ name }));
  // One instance of the component is one orchestration instance.
  let context;
  let body;
  let waiting;

  function step(work) {
    try {
      const { done, value } = work();
      if (!done) {
        waiting = value;
        return;
      }
      context.commands.push({ tag: "complete", val: { tag: "ok", val: write(value) } });
    } catch (error) {
      context.commands.push({ tag: "complete", val: { tag: "err", val: failures(error) } });
    }
    body = undefined;
  }

  return {
    component: {
      describe: () => ({
        name,
        version,
        orchestrators: definitions(orchestrators),
        activities: definitions(activities),
        entities: [],
      }),
    },
    orchestrator: {
      start(started) {
        context = new Context(started, wide);
        begin(context);
        body = orchestrators[started.name](context, read(started.input));
        step(() => body.next());
        return context.take();
      },
      resume(resolutions) {
        for (const { op, now, outcome } of resolutions) {
          context.now = now;
          begin(context);
          if (body === undefined || Number(op) !== waiting) continue;
          if (outcome.tag === "ok") step(() => body.next(read(outcome.val)));
          else step(() => body.throw(new ActivityFailed(outcome.val)));
        }
        return context.take();
      },
    },
    queries: {
      names: () => [],
      answer(name) {
        throw [{ errorType: "UnknownQuery", message: `there is no query \`${name}\``, retriable: false, properties: [] }];
      },
    },
    activity: {
      run(called, input) {
        try {
          return write(activities[called.name](read(input)));
        } catch (error) {
          throw failures(error);
        }
      },
    },
  };
}
