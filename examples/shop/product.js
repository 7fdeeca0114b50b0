// Something the shop sells. Money is whole cents, here and everywhere else.
export default {
  initial: { status: "none" },

  commands: {
    create(product, { name, priceCents }, ctx) {
      if (product.status !== "none") ctx.reject("AlreadyCreated", "this product was created before");
      ctx.emit("ProductCreated", { name, priceCents });
    },

    changePrice(product, { priceCents }, ctx) {
      if (product.status !== "listed") ctx.reject("NotListed", "only a listed product has a price to change");
      // The price it has already: nothing happened, so nothing is recorded.
      if (product.priceCents !== priceCents) ctx.emit("PriceChanged", { priceCents });
    },

    delist(product, _, ctx) {
      if (product.status === "none") ctx.reject("NoSuchProduct", "there is no such product");
      if (product.status === "listed") ctx.emit("Delisted", {});
    },
  },

  // What only other actors may ask for.
  internal: {
    // An order asks whether it may sell at this price. The answer is a message to the order; a "no" is a
    // refusal, which goes back to the order's `onRefused`. Selling does not change the product, so there
    // is no event.
    confirmSale(product, { orderId, unitPriceCents }, ctx) {
      if (product.status === "none") ctx.reject("NoSuchProduct", "there is no such product");
      if (product.status === "delisted") ctx.reject("Delisted", "this product is not sold any more");
      if (product.priceCents !== unitPriceCents) {
        ctx.reject("PriceChanged", `the price is ${product.priceCents} cents, not ${unitPriceCents}`);
      }
      ctx.tell(`Order/${orderId}`, "saleConfirmed", {});
    },
  },

  events: {
    ProductCreated: (product, { name, priceCents }) => ({ status: "listed", name, priceCents }),
    PriceChanged: (product, { priceCents }) => ({ ...product, priceCents }),
    Delisted: (product) => ({ ...product, status: "delisted" }),
  },

  queries: {
    card: (product) => ({ name: product.name, priceCents: product.priceCents, listed: product.status === "listed" }),
  },
};
