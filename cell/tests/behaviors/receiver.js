// Hears messages in the order they come; fails at some until it is mended.
export default {
  initial: { heard: [], mended: false },
  commands: {
    mend(receiver, _, ctx) { ctx.emit("Mended", {}); },
  },
  internal: {
    hear(receiver, { n }, ctx) { ctx.emit("Heard", { n }); },
    fragile(receiver, { n }, ctx) {
      if (!receiver.mended) throw new Error(`cannot hear ${n} yet`);
      ctx.emit("Heard", { n });
    },
    broken(receiver, { n }) { throw new Error(`never hears ${n}`); },
    refuse(receiver, _, ctx) { ctx.reject("NoThanks", "not today"); },
  },
  events: {
    Heard: (receiver, { n }) => ({ ...receiver, heard: [...receiver.heard, n] }),
    Mended: (receiver) => ({ ...receiver, mended: true }),
  },
};
