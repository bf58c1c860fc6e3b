// The shop: a basket, the checkout with points and coupons, orders that are delivered or come back, and rewards.
// Quotes, holds and events are sent by the shop's server. The page uses the sandbox's key in its place.

import { $, el, icon, mark, setText } from "./dom.js";
import { dayAndTime, longDay, number, plural, PRODUCTS } from "./format.js";
import { inWords, money } from "./names.js";

const STORAGE_KEY = "engage.demo.orders";
const ORDERS_KEPT = 12;

// The price of the dearest product in each currency's minor units.
const DEAREST = { EUR: 39_900, GBP: 34_900, INR: 1_499_900, XOF: 250_000, BYN: 129_900, HUF: 15_990_000 };
const TAG_POINTS_PERCENT = 1;

const basket = new Map();
let orders = [];
let chosen = { points: false, coupon: null };
let quote = null;
let onChanged = () => {};

/** `changed` is called when the basket or the choice changes: the shop is asked for another quote. */
export function setUpShop(changed) {
  onChanged = changed;
  for (const product of PRODUCTS) {
    const less = stepButton(product, -1);
    const more = stepButton(product, 1);
    $("goods").append(
      el(
        "li",
        { data: { product: product.id } },
        icon(product.art, "art"),
        el("div", {}, el("b", {}, product.name), el("span", { class: "price dim" })),
        el("div", { class: "stepper" }, less, el("output", { "aria-label": `Number of ${product.name}` }, "0"), more),
      ),
    );
  }
}

function stepButton(product, by) {
  const label = by > 0 ? `Add ${product.name}` : `Remove ${product.name}`;
  const button = el("button", { type: "button", class: "round", "aria-label": label }, by > 0 ? "+" : "−");
  button.addEventListener("click", () => {
    const count = Math.min(Math.max((basket.get(product.id) ?? 0) + by, 0), 9);
    if (count) basket.set(product.id, count);
    else basket.delete(product.id);
    changedBasket();
  });
  return button;
}

function changedBasket() {
  quote = null;
  onChanged();
}

function priceOf(product, currency) {
  const price = Math.round(((DEAREST[currency] ?? 40_000) * product.price) / 1000);
  return Math.max(price - (price % 10), 10);
}

/** The lines of the basket, as the shop's server names them. */
function linesOf(currency) {
  return [...basket].map(([id, quantity], n) => {
    const product = PRODUCTS.find((one) => one.id === id);
    const price = priceOf(product, currency);
    const tag = Math.ceil((price * TAG_POINTS_PERCENT) / 10_000);
    return { line_id: String(n + 1), product_id: id, quantity, paid: price * quantity, tag_points: tag };
  });
}

/** The basket as an order that is about to be paid, or null where it is empty. */
export function orderToQuote({ member }) {
  if (basket.size === 0 || member.currency === null) return null;
  return {
    member_id: member.member_id,
    program: member.program,
    lines: linesOf(member.currency),
    shipping: 0,
    payment: { method: "card", at_pickup: true },
    currency: member.currency,
    channel: "app",
  };
}

export function setQuote(answer) {
  quote = answer;
  if (!quote?.max_points) chosen.points = false;
  if (!quote?.coupons.some((coupon) => coupon.code === chosen.coupon && coupon.applies)) chosen.coupon = null;
}

export function payment() {
  return { spend_max: chosen.points, coupon_codes: chosen.coupon ? [chosen.coupon] : [] };
}

export function emptyBasket() {
  basket.clear();
  chosen = { points: false, coupon: null };
  changedBasket();
}

// Orders of this browser: the shop knows them, engage knows their facts.

export function loadOrders(memberId) {
  try {
    orders = (JSON.parse(localStorage.getItem(STORAGE_KEY)) ?? []).filter((order) => order.member_id === memberId);
  } catch {
    orders = [];
  }
}

export function addOrder(order) {
  orders = [order, ...orders].slice(0, ORDERS_KEPT);
  keepOrders();
}

export function setOrderState(id, state) {
  orders = orders.map((order) => (order.id === id ? { ...order, state } : order));
  keepOrders();
}

function keepOrders() {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(orders));
  } catch {
    // Without storage they are forgotten with the page.
  }
}

export function showShop(state, actions) {
  if (state.member === null) return;
  showGoods(state.member);
  showCheckout(state, actions);
  showOrders(actions);
  showRewards(state, actions);
  showCoupons(state);
}

function showGoods({ currency }) {
  for (const item of $("goods").children) {
    const product = PRODUCTS.find((one) => one.id === item.dataset.product);
    const count = basket.get(product.id) ?? 0;
    setText(item.querySelector(".price"), currency ? money({ amount: priceOf(product, currency), currency }) : "");
    setText(item.querySelector("output"), String(count));
    item.querySelector(".stepper button").disabled = count === 0;
    mark(item, { chosen: count > 0 });
  }
}

function showCheckout({ member, shopKey }, { buy }) {
  const checkout = $("checkout");
  if (basket.size === 0) {
    checkout.replaceChildren(el("p", { class: "dim" }, "Add something to see what points and coupons can pay."));
    return;
  }
  const { currency } = member;
  const sum = linesOf(currency).reduce((total, line) => total + line.paid, 0);
  const button = el("button", { type: "button", class: "primary wide" }, `Buy for ${money({ amount: sum, currency })}`);
  button.disabled = shopKey === null;
  button.addEventListener("click", () => buy(button));
  checkout.replaceChildren(...(quote ? waysToPay(quote) : [el("p", { class: "dim" }, "Asking what points can pay…")]), button);
}

function waysToPay({ max_points: most, discount_max: worth, coupons, reasons }) {
  const ways = [];
  if (most > 0) {
    const input = el("input", { type: "checkbox" });
    input.checked = chosen.points;
    input.addEventListener("change", () => {
      chosen.points = input.checked;
    });
    const words = el("span", {}, el("b", {}, `Pay with ${plural(most, "point")}`), el("span", { class: "dim" }, `worth ${money(worth)}`));
    ways.push(el("label", { class: "choice" }, input, words));
  } else if (reasons.length) {
    ways.push(el("p", { class: "dim" }, `Points cannot pay this: ${reasons.map(inWords).join(", ").toLowerCase()}.`));
  }
  for (const coupon of coupons) ways.push(couponChoice(coupon));
  return ways;
}

function couponChoice({ code, title, applies, discount, reasons }) {
  const input = el("input", { type: "checkbox" });
  input.checked = chosen.coupon === code;
  input.disabled = !applies;
  input.addEventListener("change", () => {
    chosen.coupon = input.checked ? code : null;
    for (const other of document.querySelectorAll(".choice[data-coupon] input")) {
      if (other !== input) other.checked = false;
    }
  });
  const words = applies ? `${money(discount)} off` : reasons.map(inWords).join(", ");
  return el("label", { class: "choice", data: { coupon: code } }, input, el("span", {}, el("b", {}, title), el("span", { class: "dim" }, words)));
}

const ORDER_STATES = { paid: "Paid", delivered: "Delivered", returned: "Returned" };

function showOrders({ deliver, giveBack }) {
  $("orders-card").hidden = orders.length === 0;
  $("orders").replaceChildren(
    ...orders.map((order) => {
      const button = (words, act) => {
        const made = el("button", { type: "button", class: "quiet" }, words);
        made.addEventListener("click", () => act(order, made));
        return made;
      };
      return el(
        "li",
        { data: { order: order.id, state: order.state } },
        el("div", {}, el("b", {}, order.words), el("span", { class: "dim" }, `${money(order.sum)}, ${ORDER_STATES[order.state]}`)),
        order.state === "paid" ? button("Deliver", deliver) : null,
        order.state === "returned" ? null : button("Return", giveBack),
      );
    }),
  );
}

function showRewards({ rewards, balance }, { redeem }) {
  $("rewards-card").hidden = rewards.length === 0;
  $("rewards").replaceChildren(
    ...rewards.map((reward) => {
      const left = reward.limit?.remaining === 0 ? "None left for you" : reward.stock === null ? "" : `${number(reward.stock)} left`;
      const about = [reward.value ? `${money(reward.value)} off` : reward.product_id, left].filter(Boolean).join(", ");
      const button = el(
        "button",
        { class: "offer", type: "button" },
        icon(reward.kind === "f_code" ? "ticket" : "gift"),
        el("span", { class: "offer-words" }, el("b", {}, reward.title), el("span", {}, about)),
        el("span", { class: "plus" }, number(reward.points)),
      );
      const short = (balance?.active ?? 0) < reward.points;
      mark(button, { spent: short });
      button.disabled = reward.stock === 0 || reward.limit?.remaining === 0;
      button.addEventListener("click", () => redeem(reward, button));
      return el("li", { data: { reward: reward.id } }, button);
    }),
  );
}

function showCoupons({ coupons, member }) {
  $("coupons-card").hidden = coupons.length === 0;
  $("coupons").replaceChildren(
    ...coupons.map((coupon) => {
      const until = coupon.expires_at ? `until ${longDay(coupon.expires_at, member.zone)}` : "";
      const words = coupon.state === "issued" ? until : `${inWords(coupon.state)}${coupon.order_id ? `, order ${coupon.order_id}` : ""}`;
      return el(
        "li",
        { data: { state: coupon.state }, title: `Issued ${dayAndTime(coupon.issued_at, member.zone)}` },
        el("div", {}, el("b", {}, coupon.title), el("span", { class: "dim" }, words)),
        el("code", {}, coupon.code),
      );
    }),
  );
}

/** Describe the basket in words, and its sum. */
export function basketInWords(currency) {
  const words = [...basket].map(([id, count]) => {
    const { name } = PRODUCTS.find((one) => one.id === id);
    return count > 1 ? `${count} × ${name}` : name;
  });
  const amount = linesOf(currency).reduce((total, line) => total + line.paid, 0);
  return { words: words.join(", "), sum: { amount, currency } };
}
