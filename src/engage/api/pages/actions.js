// Tasks, freezes and invitations: what the member does to earn.

import { newId } from "./api.js";
import { $, mark } from "./dom.js";
import { chosenProduct } from "./earn.js";
import { streakRules } from "./home.js";
import { identity } from "./identity.js";
import { refreshSoon, state } from "./model.js";
import { celebrate } from "./motion.js";
import { titleOf } from "./names.js";
import { attempt, send, sendEvent } from "./requests.js";
import { toast } from "./toast.js";
import { goTo } from "./views.js";

const CELEBRATED_MS = 4000;

const PERFORM = {
  fuel_tap: tap,
  share: ({ kind, rule }, button) => {
    const network = kind === "link" ? {} : { network: "demo" };
    const body = { kind: kind ?? "social", product_id: chosenProduct(), share_id: newId("s-"), ...network };
    return send(button, "/v1/shares", body, rule);
  },
  review: ({ rule }, button) =>
    send(button, "/v1/reviews", { product_id: chosenProduct(), review_id: newId("r-") }, rule),
  visit: ({ page, rule }, button) => send(button, "/v1/visits", { page: page ?? "home" }, rule),
  app_sign_in: async ({ rule }, button) => {
    if (await sendEvent("app.signed_in", {}, button, rule)) refreshSoon();
  },
  order: () => goTo("shop"),
  quiz: () => goTo("play"),
  challenge: () => goTo("play"),
  game: () => goTo("play"),
  draw: () => goTo("play"),
  referral: () => {
    goTo("earn");
    $("referral").scrollIntoView({ behavior: "smooth" });
  },
};

/** Whether the page can do what a task asks for. The code of a friend is used when a member joins. */
export function can({ activity, rule }) {
  if (activity === "app_sign_in") return state.shopKey !== null;
  return activity in PERFORM && rule !== "referral:friend";
}

export function perform(task, button) {
  return PERFORM[task.activity](task, button);
}

export function setUpActions() {
  $("fuel").addEventListener("click", () => tap({}, $("fuel")));
  $("buy-freeze").addEventListener("click", buyFreeze);
  $("copy-code").addEventListener("click", copyCode);
  $("invite").addEventListener("click", invite);
}

async function tap({ rule }, button) {
  const answer = await send(button, "/v1/fuel/taps", undefined, rule);
  const { bonus } = streakRules(state.program);
  if (bonus && answer?.credits.some((credit) => credit.rule === bonus.id)) celebrateBonus(bonus);
}

function celebrateBonus(bonus) {
  mark($("fuel-card"), { celebrating: true });
  celebrate($("fuel"), document.querySelector(".phone"));
  toast(`${titleOf(bonus.id, state)}! The bonus is on its way.`);
  setTimeout(() => mark($("fuel-card"), { celebrating: false }), CELEBRATED_MS);
}

async function buyFreeze() {
  const answer = await attempt($("buy-freeze"), "POST", "/v1/streak/freezes");
  if (answer === null) return;
  toast(`One more freeze. You have ${answer.freezes} now.`);
  refreshSoon();
}

// Invitations.

async function copyCode() {
  try {
    await navigator.clipboard.writeText($("referral-code").textContent);
    toast("Copied.");
  } catch {
    getSelection().selectAllChildren($("referral-code"));
  }
}

/** A test friend joins with the code, in the same program; the page goes on as the same member. */
async function invite() {
  const { program, country } = identity();
  const body = { program, country, referral_code: $("referral-code").textContent };
  const friend = await attempt($("invite"), "POST", "/v1/sandbox/members", { body });
  if (friend === null) return;
  toast("A friend has joined with your code.");
  refreshSoon();
}

/** Remove a review or a share. Its points are taken back. */
export async function remove(what, id, button) {
  const taken = await sendEvent(`${what}.removed`, { [`${what}_id`]: id }, button);
  if (!taken) return;
  toast(`The shop removed the ${what}; its points are taken back.`);
  refreshSoon();
}
