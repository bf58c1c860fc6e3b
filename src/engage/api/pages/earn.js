// All that the member can earn now, as the API lists it, and the invitation of a friend.

import { $, el, icon, mark, setText } from "./dom.js";
import { longDay, number, plural, PRODUCTS, shortDay } from "./format.js";
import { iconOf, inWords } from "./names.js";

const ORDER = { open: 0, blocked: 1, done: 2 };
const WITH_PRODUCT = new Set(["share", "review"]);

export function setUpEarn() {
  PRODUCTS.forEach((product, n) => {
    const input = el("input", { type: "radio", name: "product", value: product.id });
    input.checked = n === 0;
    const words = el("span", {}, icon(product.art, "art"), product.name);
    $("products").append(el("label", { class: "product", data: { product: product.id } }, input, words));
  });
}

export function chosenProduct() {
  return document.querySelector("input[name=product]:checked").value;
}

// Each list has rows of its own, which are kept between updates, so that a focused button stays focused.
const lists = new Map();

const SHOWN_AT_HOME = 3;

/** `perform(task, button)` does what a task asks for; tasks that the page cannot do have no button. */
export function showEarn({ tasks, member, referral }, perform, can) {
  if (member === null) return;
  $("shelf").hidden = !tasks.some((task) => WITH_PRODUCT.has(task.activity));
  $("tasks-empty").hidden = tasks.length > 0;
  const open = tasks.filter((task) => task.state === "open").length;
  setText($("earn-open"), `${open} open`);
  const inOrder = [...tasks].sort((one, other) => ORDER[one.state] - ORDER[other.state]);
  const show = (task) => (list) => showTask(list, task, member, perform, can);
  fill("tasks", inOrder.map(show));
  const next = inOrder.filter((task) => task.state === "open" && task.activity !== "fuel_tap").slice(0, SHOWN_AT_HOME);
  $("next-card").hidden = next.length === 0;
  fill("next-tasks", next.map(show));
  showReferral(referral);
}

function fill(id, makers) {
  if (!lists.has(id)) lists.set(id, new Map());
  const rows = lists.get(id);
  const items = makers.map((make) => make(rows));
  for (const [rule, row] of rows) {
    if (!items.includes(row)) {
      row.remove();
      rows.delete(rule);
    }
  }
  items.forEach((item, n) => {
    if ($(id).children[n] !== item) $(id).insertBefore(item, $(id).children[n] ?? null);
  });
}

function showTask(rows, task, member, perform, can) {
  let row = rows.get(task.rule);
  if (row === undefined) {
    row = el(
      "li",
      { data: { rule: task.rule } },
      el(
        "button",
        { class: "offer", type: "button" },
        icon(iconOf(task)),
        el("span", { class: "offer-words" }, el("b"), el("span")),
        el("span", { class: "plus" }),
      ),
    );
    rows.set(task.rule, row);
  }
  const button = row.firstElementChild;
  button.onclick = () => perform(task, button);
  button.disabled = task.state !== "open" || !can(task);
  mark(button, { spent: task.state !== "open", state: task.state });
  setText(button.querySelector("b"), task.title);
  setText(button.querySelector(".offer-words span"), words(task, member.zone));
  setText(button.querySelector(".plus"), task.points ? `+${number(task.points)}` : task.activity === "order" ? "Shop" : "");
  return row;
}

function words({ state, remaining, resets_at: resets, why_not: why, activity }, zone) {
  if (why) return why.text ?? inWords(why.code ?? String(why));
  const again = resets ? `, again on ${shortDay(resets, zone)}` : "";
  if (state === "done") return resets ? `Done${again}` : "Done";
  if (remaining === 1) return resets ? `Once until ${shortDay(resets, zone)}` : "Once";
  if (remaining) return `${remaining} left${resets ? ` until ${longDay(resets, zone)}` : ""}`;
  return activity ? inWords(activity) : "";
}

function showReferral(referral) {
  $("referral").hidden = referral === null;
  if (referral === null) return;
  setText($("referral-code"), referral.code);
  const counts = ["invited", "pending", "rewarded", "flagged"].filter((name) => name !== "flagged" || referral[name]);
  $("referral-counts").replaceChildren(
    ...counts.flatMap((name) => [el("div", {}, el("dt", {}, inWords(name)), el("dd", {}, number(referral[name])))]),
  );
  $("invite").title = plural(referral.invited, "friend");
}
