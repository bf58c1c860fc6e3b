// The last credits, each with its reason, and the statement.

import * as clock from "./clock.js";
import { $, el, icon, mark, setText } from "./dom.js";
import { clockTime, countdown, dayAndTime, dayOf, exactly, number, productName, shortDay } from "./format.js";
import { iconOf, titleOf } from "./names.js";

const SHOWN_AT_FIRST = 6;
const KINDS = {
  clawback: "Taken back",
  recovery: "Paid what was owed",
  expiration: "Expired",
  hold: "Set aside",
  release: "Given back",
  capture: "Paid with points",
  redemption: "Exchanged",
  reinstatement: "Given back",
  adjustment: "Corrected by the store",
  opening: "Points from before",
  transfer: "From another account",
};
// The credits of these are called like them.
const OWN_CREDIT = new Set(["adjustment", "opening"]);
const STATES = { active: "Active", reversed: "Taken back", expired: "Expired" };

const rows = new Map();
let all = false;
let onRemove = () => {};

export function setUpActivity({ remove }) {
  onRemove = remove;
  $("more").addEventListener("click", () => {
    all = true;
    showCredits(lastState);
  });
  const tabs = [$("tab-credits"), $("tab-statement")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab, tabs));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = tabs.find((one) => one !== tab);
      other.focus();
      choose(other, tabs);
    });
  }
}

function choose(tab, tabs) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
}

let lastState = null;

export function showActivity(state) {
  lastState = state;
  if (state.member === null) return;
  showCredits(state);
  showEntries(state);
}

/** Update the countdowns, each second. */
export function tickActivity(state) {
  for (const credit of state.credits) {
    const row = rows.get(credit.id);
    if (row && credit.state === "pending") setText(row.querySelector(".chip"), stateText(credit));
  }
}

/** Rows are kept between updates, so that an open row stays open. */
function showCredits(state) {
  const shown = all ? state.credits : state.credits.slice(0, SHOWN_AT_FIRST);
  const first = rows.size === 0;
  const items = shown.map((credit) => showRow(credit, state, first));
  for (const [id, row] of rows) {
    if (!items.includes(row)) {
      row.remove();
      rows.delete(id);
    }
  }
  items.forEach((item, n) => {
    if ($("credits").children[n] !== item) $("credits").insertBefore(item, $("credits").children[n] ?? null);
  });
  $("credits-empty").hidden = shown.length > 0;
  $("more").hidden = shown.length === state.credits.length;
  setText($("more"), `Show all ${state.credits.length}`);
}

function showRow(credit, state, first) {
  const { member } = state;
  let row = rows.get(credit.id);
  if (row === undefined) {
    row = makeRow(credit);
    if (!first) row.classList.add("fresh");
    rows.set(credit.id, row);
  }
  mark(row, { state: credit.state });
  mark(row.querySelector(".chip"), { state: credit.state });
  setText(row.querySelector(".chip"), stateText(credit));
  setText(row.querySelector(".name"), title(credit, state));
  setText(row.querySelector(".about"), subtitle(credit, member.zone));
  setText(row.querySelector(".sum"), `+${number(credit.points)}`);
  if (row.shownState !== credit.state && credit.why?.trace) {
    row.shownState = credit.state;
    row.querySelector(".why").replaceChildren(...why(credit, member.zone));
  }
  return row;
}

function makeRow(credit) {
  const cell = (name) => el("span", { class: name });
  const words = el(
    "span",
    { class: "credit-words" },
    el("span", {}, cell("name"), cell("sum")),
    el("span", {}, cell("about"), cell("chip")),
  );
  const turn = icon("chevron", "icon turn");
  const summary = el("summary", {}, icon(iconOf({ rule: credit.rule, activity: credit.why?.activity?.activity, kind: credit.why?.activity?.kind })), words, turn);
  return el("li", { data: { rule: credit.rule } }, el("details", {}, summary, el("div", { class: "why" })));
}

function title({ rule, why, boost }, state) {
  const name = boost ? `${titleOf(rule, state)}, extra` : titleOf(rule, state);
  const days = why?.inputs?.streak_days;
  return days && why.inputs.day && !boost ? `${name}, day ${days}` : name;
}

function subtitle({ why, state }, zone) {
  if (!why?.at) return "Just now";
  const { product_id: product, order_id: order } = why.activity ?? {};
  // The countdown is shown instead of the time.
  if (product && state === "pending") return productName(product);
  const when = dayOf(why.at, zone) === dayOf(clock.now(), zone) ? clockTime(why.at, zone) : shortDay(why.at, zone);
  if (order) return `Order ${order}, ${when}`;
  return product ? `${productName(product)}, ${when}` : when;
}

function stateText({ state, due_at }) {
  if (state !== "pending") return STATES[state] ?? state;
  const left = Date.parse(due_at) - clock.now();
  return left > 0 ? `Pending ${countdown(left)}` : "Pending";
}

function why(credit, zone) {
  const { why: because } = credit;
  const inputs = Object.entries(because.inputs).map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
  const facts = [
    ["rule", because.rule],
    ["program", `${because.program}, version ${because.version}`],
    ["decided", exactly(because.at, zone)],
    ["due", credit.due_at ? exactly(credit.due_at, zone) : "–"],
    ["valid until", credit.expires_at ? exactly(credit.expires_at, zone) : "no expiry"],
    ...inputs,
    ["source key", credit.source_key],
  ];
  const list = el("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const trace = el("ol", {}, ...because.trace.map(({ text }) => el("li", {}, text)));
  const words = because.text ? el("p", {}, because.text) : null;
  return [el("h3", {}, "Why these points"), words, trace, list, ...removeButton(credit)].filter(Boolean);
}

/** A button for the shop's event: a removed review or share loses its points. */
function removeButton(credit) {
  const activity = credit.why.activity ?? {};
  const what = { review: "review", share: "share" }[activity.activity];
  if (!what || credit.state === "reversed" || !activity[`${what}_id`]) return [];
  const button = el("button", { type: "button", class: "remove" }, icon("trash"), `Remove this ${what}`);
  button.addEventListener("click", () => onRemove(what, activity[`${what}_id`], button));
  return [button];
}

/** An entry by its kind, and by what it is about. */
function entryName({ kind, credit_id: credit, order_id: order, coupon_id: coupon }, names) {
  const about = names.get(credit) ?? names.get(coupon) ?? (order ? `order ${order}` : null);
  if (kind === "earning" || OWN_CREDIT.has(kind)) return about ?? KINDS[kind] ?? "Points";
  const what = KINDS[kind] ?? kind;
  return about ? `${what}: ${about}` : what;
}

function showEntries(state) {
  const { entries, credits, coupons, member } = state;
  $("statement-empty").hidden = entries.length > 0;
  const names = new Map([...credits.map((credit) => [credit.id, title(credit, state)]), ...coupons.map((one) => [one.id, one.title])]);
  $("statement").replaceChildren(
    ...entries.map((entry) => {
      const sign = entry.points < 0 ? "−" : "+";
      return el(
        "tr",
        {},
        el("td", {}, entryName(entry, names), el("small", {}, dayAndTime(entry.at, member.zone))),
        el("td", { class: entry.points < 0 ? "minus-sum" : "plus-sum" }, `${sign}${number(Math.abs(entry.points))}`),
        el("td", {}, number(entry.balance_after)),
      );
    }),
  );
}
