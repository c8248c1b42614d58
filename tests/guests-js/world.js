// What JavaScript's standard library sees of the world in the sandbox of orchestrators: one orchestrator a way to look.
//
// Each looks, calls an activity with what it saw, looks again, and completes with both. What the host's tests expect of each is
// in `host/tests/world/javascript.rs`.

/** What a function returns, or the exception that it throws. */
function told(work) {
  try {
    return work();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const looks = {
  "Date.now": () => Date.now(),
  "new Date": () => new Date().toISOString(),
  "Date": () => Date(),
  "time zone": () => [new Date().getTimezoneOffset(), told(() => Intl.DateTimeFormat().resolvedOptions().timeZone)],
  "performance.now": () => told(() => performance.now()),
  "performance.timeOrigin": () => told(() => performance.timeOrigin),
  "Math.random": () => Math.random(),
  "crypto.getRandomValues": () => told(() => hex(crypto.getRandomValues(new Uint8Array(8)))),
  "crypto.randomUUID": () => told(() => crypto.randomUUID()),
  "order of keys": () => Object.keys({ b: 1, a: 2, 7: 3, 1: 4 }),
  "order of a set": () => [...new Set(["b", "a", "c"])],
  "locale": () => told(() => (1234.5).toLocaleString()),
  "stack of an error": () => new Error("here").stack,
  "process": () => typeof process,
  "require": () => typeof require,
  "SharedArrayBuffer": () => typeof SharedArrayBuffer,
  "console.log": () => told(() => console.log("a line")),
  "setTimeout": () => told(() => setTimeout(() => {}, 1)),
  "setInterval": () => told(() => setInterval(() => {}, 1)),
  "fetch": () => told(() => String(fetch("http://127.0.0.1/"))),
  "promise": () => {
    let seen = "not yet";
    Promise.resolve().then(() => (seen = "ran"));
    return seen;
  },
};

const twice = (look) =>
  function* (context) {
    const first = look();
    yield context.callActivity("note", first);
    return [first, look()];
  };

export const orchestrators = {
  ...Object.fromEntries(Object.entries(looks).map(([name, look]) => [name, twice(look)])),
  *cities(context, names) {
    const greetings = [];
    for (const name of names) greetings.push(yield context.callActivity("greet", name));
    return greetings;
  },
};
