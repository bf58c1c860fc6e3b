// What a member can do on the page: tap, share, review, sign in; and what the shop can take back.

import { call, newId, Problem } from "./api.js";
import * as clock from "./clock.js";
import { $, mark } from "./dom.js";
import { chosenProduct } from "./earn.js";
import { identity, PROGRAM } from "./identity.js";
import { answered, refreshSoon, state } from "./model.js";
import { celebrate, fly, once } from "./motion.js";
import { follow, followAnswer, followRefusal } from "./panel.js";
import { toast } from "./toast.js";
import { dayAndTime } from "./words.js";

const CELEBRATED_MS = 4000;

export function makeDeeds() {
  $("fuel").addEventListener("click", tap);
  $("share-social").addEventListener("click", () => share("social", $("share-social")));
  $("share-link").addEventListener("click", () => share("link", $("share-link")));
  $("review").addEventListener("click", review);
  $("sign-in").addEventListener("click", signIn);
}

async function tap() {
  const answer = await ask($("fuel"), "/v1/fuel/taps");
  if (answer?.credits.some((credit) => credit.rule === "fuel_streak")) rejoice();
}

function share(kind, button) {
  const network = kind === "social" ? { network: "demo" } : {};
  return ask(button, "/v1/shares", { kind, product_id: chosenProduct(), share_id: newId("s-"), ...network });
}

function review() {
  return ask($("review"), "/v1/reviews", { product_id: chosenProduct(), review_id: newId("r-") });
}

async function signIn() {
  const taken = await shopTells("app.signed_in", {}, $("sign-in"), "app_sign_in");
  if (taken) refreshSoon();
}

/** A review or a share that is gone. What it earned goes too. */
export async function remove(what, id, button) {
  const taken = await shopTells(`${what}.removed`, { [`${what}_id`]: id }, button);
  if (!taken) return;
  toast(`The shop removed the ${what}; its points are taken back.`);
  refreshSoon();
}

// An activity of the member's own.

async function ask(button, path, body) {
  if (button.ariaBusy === "true") return null;
  button.ariaBusy = "true";
  follow(`POST ${path}`);
  try {
    const { status, body: answer, took } = await call("POST", path, { body, token: identity().token });
    followAnswer(status, took, answer.credits);
    answered(answer);
    const points = answer.credits.reduce((sum, credit) => sum + credit.points, 0);
    fly(`+${points}`, button.querySelector(".plus") ?? button, $("active"));
    refreshSoon();
    return answer;
  } catch (problem) {
    refused(problem, button);
    return null;
  } finally {
    button.ariaBusy = null;
  }
}

function refused(problem, button) {
  if (!(problem instanceof Problem)) throw problem;
  followRefusal(problem);
  once(button, "nudge");
  toast(friendly(problem), { urgent: true });
  refreshSoon();
}

/** The API's own words; where they tell a time, which they do in UTC, the member's own. */
function friendly({ message, facts }) {
  const zone = state.member?.zone ?? "UTC";
  if (facts.next_tap_at) return `${facts.title}. The next tap opens ${dayAndTime(facts.next_tap_at, zone)}.`;
  if (facts.resets_at) return `${facts.title}. It starts again ${dayAndTime(facts.resets_at, zone)}.`;
  return message;
}

function rejoice() {
  mark($("fuel-card"), { celebrating: true });
  celebrate($("fuel"), document.querySelector(".phone"));
  toast("Seven days in a row! The bonus is on its way.");
  setTimeout(() => mark($("fuel-card"), { celebrating: false }), CELEBRATED_MS);
}

// What the shop's own server would tell: here the sandbox's key stands in for it.

async function shopTells(type, facts, button, rule) {
  if (button.disabled) return false;
  button.disabled = true;
  const event = {
    id: newId("e-"),
    type,
    time: new Date(clock.now()).toISOString(),
    program: PROGRAM,
    member_id: identity().member_id,
    data: facts,
  };
  follow(`event ${type}`, rule);
  try {
    const { status, body, took } = await call("POST", "/v1/shop/events", { body: event, token: state.shopKey });
    if (body.refused.length) throw new Problem(422, body.refused[0]);
    followAnswer(status, took);
    const points = button.querySelector(".plus")?.textContent;
    if (points) fly(points, button, $("active"));
    return true;
  } catch (problem) {
    refused(problem, button);
    button.disabled = false;
    return false;
  }
}
