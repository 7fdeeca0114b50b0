// A payment for one order.
//
//   none ──authorize──▶ authorized ──capture──▶ captured ──the order took it───▶ settled
//                                                  └──────the order refused──▶ refunded
export default {
  initial: { status: "none" },

  commands: {
    authorize(payment, { orderId, amountCents }, ctx) {
      if (payment.status !== "none") ctx.reject("AlreadyAuthorized", "this payment was authorized before");
      ctx.emit("PaymentAuthorized", { orderId, amountCents });
    },

    capture(payment, _, ctx) {
      if (payment.status !== "authorized") ctx.reject("NotAuthorized", `the payment is ${payment.status}`);
      ctx.emit("PaymentCaptured", {});
      ctx.tell(`Order/${payment.orderId}`, "confirmPayment",
               { paymentId: ctx.id, amountCents: payment.amountCents }, { onRefused: "refund" });
    },
  },

  internal: {
    settle(payment, _, ctx) {
      if (payment.status === "captured") ctx.emit("PaymentSettled", {});
    },

    // The order would not take the money: it expired, was cancelled, or costs something else.
    refund(payment, refusal, ctx) {
      if (payment.status === "captured") ctx.emit("PaymentRefunded", { reason: refusal.message });
    },
  },

  events: {
    PaymentAuthorized: (payment, { orderId, amountCents }) => ({ status: "authorized", orderId, amountCents }),
    PaymentCaptured: (payment) => ({ ...payment, status: "captured" }),
    PaymentSettled: (payment) => ({ ...payment, status: "settled" }),
    PaymentRefunded: (payment, { reason }) => ({ ...payment, status: "refunded", reason }),
  },

  queries: {
    receipt: ({ status, orderId, amountCents, reason }) => ({ status, orderId, amountCents, reason }),
  },
};
