// Everything a behavior should not do. Each misdeed comes after an event, a message and a timer, of
// which nothing may be left.
const first = (ctx) => {
  ctx.emit("Added", { by: 1000 });
  ctx.tell("Counter/victim", "hear", { n: 1 });
  ctx.schedule("ring", { after: "1ms" });
};
const after = (misdeed) => (rascal, payload, ctx) => {
  first(ctx);
  return misdeed(ctx, rascal, payload);
};
const endless = (depth) => endless(depth + 1) + 1;

export default {
  initial: { n: 0 },
  commands: {
    add(rascal, _, ctx) {
      ctx.emit("Added", { by: 1 });
      return ctx.state.n;
    },
    throws: after(() => {
      throw new Error("boom");
    }),
    throwsText: after(() => {
      throw "text";
    }),
    rejects: after((ctx) => ctx.reject("Never", "not with me")),
    loops: after(() => {
      for (;;);
    }),
    allocates: after(() => {
      const all = [];
      for (;;) all.push(new Array(100000).fill(all.length));
    }),
    recurses: after(() => endless(0)),
    bigInt: after(() => ({ deep: [1n] })),
    cycle: after(() => {
      const a = {};
      a.a = a;
      return a;
    }),
    function: after(() => () => 1),
    notANumber: after(() => ({ n: 0 / 0 })),
    promise: after(async () => 1),
    undeclared: after((ctx) => ctx.emit("Nowhere", {})),
    vanishes: after((ctx) => ctx.emit("Vanished", {})),
    changes: after((ctx, rascal) => {
      rascal.n = 5;
    }),
    grows: after((ctx) => {
      for (let i = 0; i < 20; i++) ctx.emit("Grown", { text: "x".repeat(100000) });
    }),
    misdirects: after((ctx) => ctx.tell("Nobody/x", "hear", {})),
    misdirectsId: after((ctx) => ctx.tell("Counter/a b", "hear", {})),
    tooMany: after((ctx) => {
      for (let i = 0; i < 1001; i++) ctx.tell("Counter/victim", "hear", { n: 1 });
    }),
    tooManyTimers: after((ctx) => {
      for (let i = 0; i < 65; i++) ctx.schedule("ring", { after: "1h", name: `t${i}` });
    }),
  },
  internal: { ring(rascal, _, ctx) { ctx.emit("Added", { by: 1000 }); } },
  events: {
    Added: (rascal, { by }) => ({ ...rascal, n: rascal.n + by }),
    Vanished() {},
    Grown: (rascal, { text }) => ({ ...rascal, text: (rascal.text ?? "") + text }),
  },
};
