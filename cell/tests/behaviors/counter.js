// A well-behaved actor: counts, remembers what it heard, and says no when asked to.
export default {
  initial: { n: 0, heard: [] },
  commands: {
    add(counter, { by }, ctx) {
      ctx.emit("Added", { by });
      if (ctx.state.n >= 100) ctx.emit("Filled", {});
      return ctx.state.n;
    },
    refuse(counter, reason, ctx) { ctx.reject("Refused", String(reason)); },
    // Busy for as long as it takes to count so far: keeps its lane from everything else.
    spin(counter, { rounds }, ctx) {
      let sum = 0;
      for (let i = 0; i < rounds; i++) sum = (sum + i) % 1000;
      ctx.emit("Added", { by: 1 });
      return sum;
    },
    // As many events as asked for, of as many bytes, and a reply.
    flood(counter, { events, bytes, reply = 0 }, ctx) {
      const text = "x".repeat(bytes);
      for (let i = 0; i < events; i++) ctx.emit("Flooded", { text });
      return "x".repeat(reply);
    },
    remove(counter, _, ctx) { ctx.emit("Removed", {}); ctx.destroy(); },
    alarm(counter, { after }, ctx) { ctx.schedule("ring", { after }); },
  },
  internal: {
    ring(counter, _, ctx) { ctx.emit("Rang", {}); },
    hear(counter, { n }, ctx) { ctx.emit("Heard", { n }); },
  },
  events: {
    Added: (counter, { by }) => ({ ...counter, n: counter.n + by }),
    Filled: (counter) => counter,
    Flooded: (counter) => counter,
    Removed: (counter) => counter,
    Rang: (counter) => ({ ...counter, rang: true }),
    Heard: (counter, { n }) => ({ ...counter, heard: [...counter.heard, n] }),
  },
  queries: {
    total: (counter) => counter.n,
    broken() { throw new Error("no answer"); },
  },
};
