// The stock of one product; its id is the product's.
//
// `available` can be sold. `reserved` holds, by order id, what orders have put aside: a reservation is
// there or it is not, so it cannot be released or committed twice, whatever is sent twice.
const has = (stock, orderId) => Object.hasOwn(stock.reserved, orderId);

// The reservations without one of them.
const without = (reserved, orderId) =>
  Object.fromEntries(Object.entries(reserved).filter(([id]) => id !== orderId));

export default {
  initial: { available: 0, reserved: {} },

  commands: {
    receive(stock, { quantity }, ctx) {
      ctx.emit("StockReceived", { quantity });
      return { available: ctx.state.available };
    },
  },

  internal: {
    // Puts stock aside for an order, or refuses; the order hears of either.
    reserve(stock, { orderId, quantity }, ctx) {
      if (!has(stock, orderId)) {
        if (stock.available < quantity) {
          ctx.reject("OutOfStock", `${stock.available} are available, ${quantity} were asked for`);
        }
        ctx.emit("StockReserved", { orderId, quantity });
      }
      ctx.tell(`Order/${orderId}`, "stockReserved", {});
    },

    // Takes a reservation back. Without one there is nothing to do, and the order hears nothing.
    release(stock, { orderId }, ctx) {
      if (!has(stock, orderId)) return;
      ctx.emit("StockReleased", { orderId, quantity: stock.reserved[orderId] });
      ctx.tell(`Order/${orderId}`, "stockReleased", {});
    },

    // The order was paid: what was put aside leaves the shop.
    commit(stock, { orderId }, ctx) {
      if (!has(stock, orderId)) ctx.reject("NoReservation", `order ${orderId} has nothing reserved`);
      ctx.emit("StockCommitted", { orderId, quantity: stock.reserved[orderId] });
      ctx.tell(`Order/${orderId}`, "stockCommitted", {});
    },
  },

  events: {
    StockReceived: (stock, { quantity }) => ({ ...stock, available: stock.available + quantity }),
    StockReserved: (stock, { orderId, quantity }) => ({
      available: stock.available - quantity,
      reserved: { ...stock.reserved, [orderId]: quantity },
    }),
    StockReleased: (stock, { orderId, quantity }) => ({
      available: stock.available + quantity,
      reserved: without(stock.reserved, orderId),
    }),
    StockCommitted: (stock, { orderId }) => ({ ...stock, reserved: without(stock.reserved, orderId) }),
  },

  queries: {
    available: (stock) => ({
      available: stock.available,
      reserved: Object.values(stock.reserved).reduce((sum, quantity) => sum + quantity, 0),
    }),
  },
};
