// An order, from placing to payment, expiry or cancellation.
//
//   none ──place──▶ placed ──product and stock said yes──▶ ready ──payment──▶ paid
//                     │                                      │
//                     └───────── cancelled, expired ◀────────┘
//
// An actor never waits for another one. It sends a message and goes on; the answer is a message too. A
// message, the event before it and the timer are recorded together: none of them can be lost alone.

// While it is open, an order may still be paid, cancelled or expire.
const isOpen = (order) => order.status === "placed" || order.status === "ready";

// Ends an open order. Messages to one actor arrive in the order they were sent, so this `release` comes
// after the `reserve` of `place`, even if that is still on its way.
function close(order, event, payload, ctx) {
  ctx.emit(event, payload);
  ctx.cancel("expire");
  ctx.tell(`Inventory/${order.productId}`, "release", { orderId: ctx.id });
}

// Both have said yes: the order can be paid.
function readyIfConfirmed(ctx) {
  const { saleConfirmed, stockReserved } = ctx.state;
  if (saleConfirmed && stockReserved) ctx.emit("OrderReady", {});
}

export default {
  initial: { status: "none" },

  commands: {
    // `expiresAfter` is there for demonstrations; an unpaid order expires after 30 minutes.
    place(order, { userId, productId, quantity, unitPriceCents, expiresAfter = "30m" }, ctx) {
      if (order.status !== "none") ctx.reject("AlreadyPlaced", "this order was placed before");
      ctx.emit("OrderPlaced", {
        userId, productId, quantity, totalCents: quantity * unitPriceCents, placedAt: ctx.now,
      });
      ctx.tell(`Product/${productId}`, "confirmSale", { orderId: ctx.id, unitPriceCents },
               { onRefused: "cancelForProduct" });
      ctx.tell(`Inventory/${productId}`, "reserve", { orderId: ctx.id, quantity },
               { onRefused: "cancelForStock" });
      ctx.schedule("expire", { after: expiresAfter });
      return { orderId: ctx.id, totalCents: ctx.state.totalCents };
    },

    cancel(order, _, ctx) {
      if (!isOpen(order)) ctx.reject("NotOpen", `the order is ${order.status}; only an open order can be cancelled`);
      close(order, "OrderCancelled", { reason: "ByCustomer" }, ctx);
    },
  },

  internal: {
    saleConfirmed(order, _, ctx) {
      if (order.status !== "placed" || order.saleConfirmed) return;
      ctx.emit("SaleConfirmed", {});
      readyIfConfirmed(ctx);
    },

    stockReserved(order, _, ctx) {
      // An order that was closed meanwhile has sent its release already.
      if (order.status !== "placed" || order.stockReserved) return;
      ctx.emit("StockReserved", {});
      readyIfConfirmed(ctx);
    },

    // The product refused: delisted, unknown, or another price. `refusal.code` says which.
    cancelForProduct(order, refusal, ctx) {
      if (isOpen(order)) close(order, "OrderCancelled", { reason: refusal.code }, ctx);
    },

    // The stock refused, so there is nothing to release.
    cancelForStock(order, refusal, ctx) {
      if (!isOpen(order)) return;
      ctx.emit("OrderCancelled", { reason: refusal.code });
      ctx.cancel("expire");
    },

    // The timer set by `place`.
    expire(order, _, ctx) {
      if (isOpen(order)) close(order, "OrderExpired", {}, ctx);
    },

    // The stock is back.
    stockReleased(order, _, ctx) {
      if (!order.stockReturned) ctx.emit("StockReturned", {});
    },

    // A payment was captured for this order. A refusal makes the payment refund itself.
    confirmPayment(order, { paymentId, amountCents }, ctx) {
      if (order.status === "paid" && order.paymentId === paymentId) return;
      if (order.status === "none") ctx.reject("NoSuchOrder", "there is no such order");
      if (order.status !== "ready") ctx.reject("NotPayable", `the order is ${order.status}`);
      if (order.totalCents !== amountCents) {
        ctx.reject("WrongAmount", `the order costs ${order.totalCents} cents, not ${amountCents}`);
      }
      ctx.emit("OrderPaid", { paymentId });
      ctx.cancel("expire");
      ctx.tell(`Inventory/${order.productId}`, "commit", { orderId: ctx.id });
    },

    // What was reserved has left the stock: now the money is ours.
    stockCommitted(order, _, ctx) {
      if (order.status !== "paid" || order.stockCommitted) return;
      ctx.emit("StockCommitted", {});
      ctx.tell(`Payment/${order.paymentId}`, "settle", {});
    },
  },

  events: {
    OrderPlaced: (order, e) => ({ ...e, status: "placed", saleConfirmed: false, stockReserved: false }),
    SaleConfirmed: (order) => ({ ...order, saleConfirmed: true }),
    StockReserved: (order) => ({ ...order, stockReserved: true }),
    OrderReady: (order) => ({ ...order, status: "ready" }),
    OrderPaid: (order, { paymentId }) => ({ ...order, status: "paid", paymentId }),
    StockCommitted: (order) => ({ ...order, stockCommitted: true }),
    OrderExpired: (order) => ({ ...order, status: "expired" }),
    OrderCancelled: (order, { reason }) => ({ ...order, status: "cancelled", reason }),
    StockReturned: (order) => ({ ...order, stockReturned: true }),
  },

  queries: {
    summary: ({ status, reason, productId, quantity, totalCents }) =>
      ({ status, reason, productId, quantity, totalCents }),
  },
};
