// The component for the engine QuickJS. It is built without WASI, so that its clock and random numbers are those of the moment when it
// was built: this replaces them by what the host hands over.
import { exports } from "./binding.js";
import { activities, orchestrators } from "./world.js";

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

globalThis.Date = class Date extends RealDate {
  constructor(...parts) {
    super(...(parts.length === 0 ? [now] : parts));
  }
  static now() {
    return now;
  }
};

export const { component, orchestrator, queries, activity } = exports("quickjs-world", "1.0.0", {
  orchestrators,
  activities,
  begin(context) {
    now = Number(context.now.seconds) * 1000 + Math.floor(context.now.nanos / 1e6);
    random ??= generator(context.seed);
  },
});
