// Buying: the shop's quotes, holds and events, and the rewards that points become.

import { newId } from "./api.js";
import { plural } from "./format.js";
import { change, refreshSoon, state } from "./model.js";
import { attempt, sendEvent } from "./requests.js";
import { addOrder, basketInWords, emptyBasket, orderToQuote, payment, setOrderState, setQuote } from "./shop.js";
import { toast } from "./toast.js";

let quoting = 0;

/** Ask what points and coupons can pay of the basket. */
export async function quoteBasket() {
  const order = orderToQuote(state);
  quoting += 1;
  const mine = quoting;
  if (order === null || state.shopKey === null) {
    setQuote(null);
    change({});
    return;
  }
  const quote = await attempt(null, "POST", "/v1/shop/checkout/quotes", { body: order, token: state.shopKey });
  if (mine !== quoting) return;
  setQuote(quote);
  change({});
}

export const SHOP = {
  async buy(button) {
    const order = orderToQuote(state);
    if (order === null) return;
    const id = newId("o-");
    const paying = payment();
    let hold = null;
    if (paying.spend_max || paying.coupon_codes.length) {
      const body = { ...order, order_id: id, ...paying };
      hold = await attempt(button, "POST", "/v1/shop/checkout/holds", { body, token: state.shopKey });
      if (hold === null) return;
    }
    const { lines, shipping, channel, currency, payment: method } = order;
    const facts = { order_id: id, lines, shipping, channel, currency, payment: method };
    if (hold) facts.hold_id = hold.hold_id;
    if (!(await sendEvent("order.paid", facts, button))) return;
    if (hold) {
      const capture = `/v1/shop/checkout/holds/${hold.hold_id}/capture`;
      if ((await attempt(button, "POST", capture, { token: state.shopKey })) === null) return;
    }
    addOrder({ id, member_id: order.member_id, state: "paid", ...basketInWords(currency) });
    emptyBasket();
    toast(hold?.points ? `Bought, ${plural(hold.points, "point")} of it with points.` : "Bought.");
    refreshSoon();
  },

  async deliver(order, button) {
    if (!(await sendEvent("order.delivered", { order_id: order.id }, button))) return;
    setOrderState(order.id, "delivered");
    refreshSoon();
  },

  async giveBack(order, button) {
    if (!(await sendEvent("order.returned", { order_id: order.id, return_id: newId("t-") }, button))) return;
    setOrderState(order.id, "returned");
    toast("The order came back. What it earned is taken back, what it cost in points is yours again.");
    refreshSoon();
  },

  async redeem(reward, button) {
    const answer = await attempt(button, "POST", "/v1/redemptions", { body: { reward_id: reward.id } });
    if (answer === null) return;
    toast(`${reward.title}: ${(answer.coupon ?? answer.f_code).code}`);
    refreshSoon();
  },
};
