// Tells receivers what it is told to, and remembers what came back.
export default {
  initial: { refused: [], sent: 0 },
  commands: {
    tell(sender, { to, command, payload, onRefused }, ctx) {
      ctx.emit("Sent", {});
      ctx.tell(`Receiver/${to}`, command, payload, onRefused ? { onRefused } : undefined);
    },
    tellAll(sender, { to, commands }, ctx) {
      ctx.emit("Sent", {});
      for (const { command, payload } of commands) ctx.tell(`Receiver/${to}`, command, payload);
    },
    later(sender, _, ctx) { ctx.schedule("explode", { after: "1ms", payload: { fuse: 1 } }); ctx.emit("Sent", {}); },
  },
  internal: {
    heardNo(sender, { code, payload }, ctx) { ctx.emit("Refused", { code, n: payload.n }); },
    explode() { throw new Error("the timer went off"); },
  },
  events: {
    Sent: (sender) => ({ ...sender, sent: sender.sent + 1 }),
    Refused: (sender, no) => ({ ...sender, refused: [...sender.refused, no] }),
  },
};
