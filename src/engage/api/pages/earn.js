// Products to share and review, with the shares left this month.

import { $, el, icon, mark, setText } from "./dom.js";
import { longDay, pays, PRODUCTS, productName } from "./format.js";

const BUTTONS = { share_social: "share-social", share_link: "share-link", review: "review", app_sign_in: "sign-in" };

export function setUpEarn(onChoose) {
  PRODUCTS.forEach((product, n) => {
    const input = el("input", { type: "radio", name: "product", value: product.id, onchange: onChoose });
    input.checked = n === 0;
    const words = el("span", {}, icon(product.art, "art"), product.name);
    $("products").append(el("label", { class: "product", data: { product: product.id } }, input, words));
  });
}

export function chosenProduct() {
  return document.querySelector("input[name=product]:checked").value;
}

export function showEarn(state) {
  if (state.member === null) return;
  for (const [rule, button] of Object.entries(BUTTONS)) {
    const points = pays(state.program, rule);
    setText($(`pays-${rule}`), points ? `+${points}` : "");
    $(button).disabled = state.shopKey === null;
  }
  showLimit(state, "share_social");
  showLimit(state, "share_link");
  showReview(state);
  showSignIn(state);
}

function showLimit({ limits, member }, rule) {
  const limit = limits.find((one) => one.rule === rule);
  $(BUTTONS[rule]).parentElement.hidden = limit === undefined;
  if (limit === undefined) return;
  mark($(BUTTONS[rule]), { spent: limit.remaining === 0 });
  const none = `None left, again on ${longDay(limit.resets_at, member.zone)}`;
  setText($(`left-${rule}`), limit.remaining ? `${limit.remaining} left this month` : none);
}

/** The products whose review has earned points, even if they were taken back. */
function reviewed({ credits }) {
  return new Set(credits.filter((one) => one.rule === "review").map((one) => one.why?.activity?.product_id));
}

function showReview(state) {
  const done = reviewed(state);
  for (const label of document.querySelectorAll(".product")) {
    const has = label.querySelector("i") !== null;
    if (done.has(label.dataset.product) && !has) label.append(el("i", { title: "Reviewed" }, icon("check")));
    if (!done.has(label.dataset.product) && has) label.querySelector("i").remove();
  }
  const product = chosenProduct();
  const spent = done.has(product);
  mark($("review"), { spent });
  setText($("left-review"), `${productName(product)}${spent ? ": reviewed" : ", once a product"}`);
}

function showSignIn({ credits, shopKey }) {
  const spent = credits.some((one) => one.rule === "app_sign_in");
  $("sign-in").disabled = spent || shopKey === null;
  mark($("sign-in"), { spent });
  setText($("left-app_sign_in"), spent ? "Done, earns points once" : "Earns points once");
}
