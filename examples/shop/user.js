// A customer. The simplest behavior there can be: one command, one event, one query.
export default {
  // The state of a user nobody has heard of yet.
  initial: { status: "none" },

  // What clients may ask for.
  commands: {
    register(user, { email, name }, ctx) {
      if (user.status !== "none") ctx.reject("AlreadyRegistered", "this user is registered already");
      ctx.emit("UserRegistered", { email, name, registeredAt: ctx.now });
    },
  },

  // How each recorded event changes the state. Pure functions: they run again whenever the user is
  // brought back from its events.
  events: {
    UserRegistered: (user, { email, name, registeredAt }) => ({ status: "registered", email, name, registeredAt }),
  },

  queries: {
    profile: (user) => ({ status: user.status, name: user.name, email: user.email }),
  },
};
