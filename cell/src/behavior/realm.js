// Makes the global scope of behaviors: pure, without a clock or chance of its own, and frozen, so
// that nothing a script does outlives its call. Evaluated once per realm, before any behavior.
//
// `host` holds the functions that Rust gives; what this returns is what Rust needs of the realm.
(function (host) {
  "use strict";
  const { freeze, isExtensible, getPrototypeOf, getOwnPropertyDescriptor, defineProperty } = Object;
  const { ownKeys, construct } = Reflect;

  function refuse(what, instead) {
    return function () {
      throw new TypeError(`${what} is not available in a behavior; ${instead}`);
    };
  }

  function hidden(target, name, value) {
    defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });
  }

  // --- Date: the time of the call, and UTC only, so that no machine's time zone shows.
  const NativeDate = Date;
  const days = NativeDate.prototype;
  const { getTime, toISOString } = days;
  const nativeParse = NativeDate.parse;
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i;
  const dateOnly = /^\d{4}(?:-\d\d(?:-\d\d)?)?$/;
  const unzoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

  function parse(text) {
    const trimmed = String(text).trim();
    if (dateOnly.test(trimmed) || zoned.test(trimmed)) return nativeParse(trimmed);
    return unzoned.test(trimmed) ? nativeParse(trimmed + "Z") : NaN;
  }

  function timeOf(args) {
    if (args.length === 0) return host.clock();
    if (args.length > 1) return NativeDate.UTC(...args);
    const only = args[0];
    if (only instanceof NativeDate) return getTime.call(only);
    return typeof only === "string" ? parse(only) : Number(only);
  }

  function UtcDate(...args) {
    if (new.target === undefined) return toISOString.call(new NativeDate(host.clock()));
    return construct(NativeDate, [timeOf(args)], new.target);
  }

  const text = (date) => (Number.isNaN(getTime.call(date)) ? "Invalid Date" : toISOString.call(date));
  for (const name of ownKeys(days)) {
    const utc = typeof name === "string" && /^([gs]et)UTC(.+)$/.exec(name);
    if (utc) hidden(days, utc[1] + utc[2], days[name]);
  }
  hidden(days, "getTimezoneOffset", () => 0);
  for (const name of ["toString", "toLocaleString", "toUTCString", "toGMTString"]) {
    hidden(days, name, function () { return text(this); });
  }
  for (const name of ["toDateString", "toLocaleDateString"]) {
    hidden(days, name, function () { return text(this).slice(0, 10); });
  }
  for (const name of ["toTimeString", "toLocaleTimeString"]) {
    hidden(days, name, function () { return text(this).slice(11); });
  }
  delete days.getYear;
  delete days.setYear;
  hidden(days, "constructor", UtcDate);
  defineProperty(UtcDate, "prototype", { value: days, writable: false });
  defineProperty(UtcDate, "name", { value: "Date" });
  hidden(UtcDate, "now", () => host.clock());
  hidden(UtcDate, "parse", parse);
  hidden(UtcDate, "UTC", NativeDate.UTC);
  hidden(globalThis, "Date", UtcDate);

  // --- Chance: the seeded stream of the call.
  hidden(Math, "random", host.chance);

  // --- No code from strings, no asynchronous work.
  const samples = [
    function () {}, async function () {}, function* () {}, async function* () {},
  ];
  for (const sample of samples) {
    const prototype = getPrototypeOf(sample);
    const constructor = refuse("Function(text)", "write the function into the module");
    defineProperty(constructor, "prototype", { value: prototype, writable: false });
    hidden(prototype, "constructor", constructor);
  }
  hidden(globalThis, "Function", Function.prototype.constructor);
  hidden(globalThis, "eval", refuse("eval", "write the code into the module"));
  delete globalThis.queueMicrotask;
  for (const name of ["setTimeout", "setInterval", "setImmediate"]) {
    hidden(globalThis, name, refuse(name, "use ctx.schedule"));
  }
  hidden(globalThis, "fetch", refuse("fetch", "a behavior does no I/O; use ctx.tell"));
  hidden(globalThis, "require", refuse("require", "a behavior is one module"));

  // --- Freezing: states are known to be checked and frozen by not being extensible, so scripts get a
  // deep freeze for plain data. Other objects are never part of a state.
  function plain(value) {
    if (typeof value !== "object" || value === null) return false;
    const prototype = getPrototypeOf(value);
    return prototype === Object.prototype || prototype === Array.prototype || prototype === null;
  }
  const { seal, preventExtensions } = Object;
  for (const [name, native] of [["freeze", freeze], ["seal", seal], ["preventExtensions", preventExtensions]]) {
    hidden(Object, name, function (value) {
      if (!plain(value)) return native(value);
      host.harden(value);
      return value;
    });
  }
  hidden(Reflect, "preventExtensions", function (value) {
    Object.preventExtensions(value);
    return !isExtensible(value);
  });

  // Both are kept by the interpreter beyond the call that sets them.
  delete Error.stackTraceLimit;
  delete Error.prepareStackTrace;

  // --- Errors may be given a message and a name by assignment, though their prototypes are frozen.
  function assignable(prototype, name) {
    const inherited = prototype[name];
    defineProperty(prototype, name, {
      configurable: true,
      enumerable: false,
      get() { return inherited; },
      set(value) { hidden(this, name, value); },
    });
  }
  for (const kind of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
    assignable(kind.prototype, "name");
    assignable(kind.prototype, "message");
  }

  // --- console: lines for the operator's log.
  function shown(value) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  }
  const console = {};
  for (const level of ["debug", "log", "info", "warn", "error"]) {
    console[level] = (...args) => host.log(level, args.map(shown).join(" ").toWellFormed());
  }
  hidden(globalThis, "console", console);

  // --- The object that handlers get as `ctx`.
  const surface = Object.create(null);
  for (const name of ["id", "type", "state", "now", "session"]) {
    defineProperty(surface, name, { get: host[name], enumerable: true });
  }
  for (const name of ["random", "uuid", "emit", "reject", "tell", "schedule", "cancel", "destroy"]) {
    defineProperty(surface, name, { value: host[name], enumerable: true });
  }
  const ctx = Object.create(surface);

  // --- Freeze all that a script can reach.
  const queue = [globalThis, ctx, ...samples.map(getPrototypeOf)];
  queue.push((function* () {})(), (async function* () {})(), [][Symbol.iterator](), "x".matchAll(/x/g));
  queue.push(""[Symbol.iterator](), new Map().entries(), new Set().values(), Iterator.from({ next() {} }));
  const seen = new Set();
  while (queue.length > 0) {
    const target = queue.pop();
    if (seen.has(target)) continue;
    seen.add(target);
    const above = getPrototypeOf(target);
    if (above !== null) queue.push(above);
    for (const key of ownKeys(target)) {
      const { value, get, set } = getOwnPropertyDescriptor(target, key);
      for (const part of [value, get, set]) {
        if ((typeof part === "object" && part !== null) || typeof part === "function") queue.push(part);
      }
    }
    freeze(target);
  }
  // Made by a script function, an error knows the line that called the host at once.
  const makeError = (message) => new TypeError(message);
  return [ctx, freeze, isExtensible, Object.prototype, Array.prototype, makeError];
})
