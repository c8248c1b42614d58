// The component for the engine QuickJS. It is built without WASI, so that its clock and random numbers are those of the moment when it
// was built: this replaces them by what the host hands over.
import { exports } from "./binding.js";
import { orchestrators } from "./world.js";

const RealDate = Date;
let now = 0;
let random;

/** Numbers below 1 from 256 random bits: sfc32, with the first two parts of the seed. */
function generator({ a, b }) {
  const halves = (part) => [BigInt(part), BigInt(part) >> 32n];
  let [x, y, z, counter] = [...halves(a), ...halves(b)].map((part) => Number(BigInt.asIntN(32, part)));
  const next = () => {
    const sum = (x + y + counter) | 0;
    counter = (counter + 1) | 0;
    x = y ^ (y >>> 9);
    y = (z + (z << 3)) | 0;
    z = ((z << 21) | (z >>> 11)) + sum;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let round = 0; round < 12; round += 1) next();
  return next;
}

Math.random = () => random();

RealDate.now = () => now;
globalThis.Date = new Proxy(RealDate, {
  construct: (date, parts, target) => Reflect.construct(date, parts.length === 0 ? [now] : parts, target),
  apply: () => new RealDate(now).toString(),
});
RealDate.prototype.constructor = Date;

// Its own would ask a clock that is not there.
const performance = { timeOrigin: 0, now: () => now };
Object.defineProperty(globalThis, "performance", { value: performance });

export const { component, orchestrator, queries } = exports("quickjs-world", "1.0.0", {
  orchestrators,
  // The engine's integers of 64 bits are ordinary numbers: it does not take a BigInt for one, and rounds those above 2^53.
  wide: Number,
  begin(context) {
    now = Number(context.now.seconds) * 1000 + Math.floor(context.now.nanos / 1e6);
    random ??= generator(context.seed);
  },
});
