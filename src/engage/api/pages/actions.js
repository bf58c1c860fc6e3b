// Actions of the member: tap, share, review, sign in. And the shop's removal of reviews and shares.

import { call, newId, Problem } from "./api.js";
import * as clock from "./clock.js";
import { $, mark } from "./dom.js";
import { chosenProduct } from "./earn.js";
import { identity, PROGRAM } from "./identity.js";
import { applyAnswer, refreshSoon, state } from "./model.js";
import { celebrate, fly, once } from "./motion.js";
import { follow, followAnswer, followRefusal } from "./panel.js";
import { toast } from "./toast.js";
import { dayAndTime } from "./format.js";

const CELEBRATED_MS = 4000;

export function setUpActions() {
  $("fuel").addEventListener("click", tap);
  $("share-social").addEventListener("click", () => share("social", $("share-social")));
  $("share-link").addEventListener("click", () => share("link", $("share-link")));
  $("review").addEventListener("click", review);
  $("sign-in").addEventListener("click", signIn);
}

async function tap() {
  const answer = await send($("fuel"), "/v1/fuel/taps");
  if (answer?.credits.some((credit) => credit.rule === "fuel_streak")) celebrateStreak();
}

function share(kind, button) {
  const network = kind === "social" ? { network: "demo" } : {};
  return send(button, "/v1/shares", { kind, product_id: chosenProduct(), share_id: newId("s-"), ...network });
}

function review() {
  return send($("review"), "/v1/reviews", { product_id: chosenProduct(), review_id: newId("r-") });
}

async function signIn() {
  const taken = await sendEvent("app.signed_in", {}, $("sign-in"), "app_sign_in");
  if (taken) refreshSoon();
}

/** Remove a review or a share. Its points are taken back. */
export async function remove(what, id, button) {
  const taken = await sendEvent(`${what}.removed`, { [`${what}_id`]: id }, button);
  if (!taken) return;
  toast(`The shop removed the ${what}; its points are taken back.`);
  refreshSoon();
}

async function send(button, path, body) {
  if (button.ariaBusy === "true") return null;
  button.ariaBusy = "true";
  follow(`POST ${path}`);
  try {
    const { status, body: answer, took } = await call("POST", path, { body, token: identity().token });
    followAnswer(status, took, answer.credits);
    applyAnswer(answer);
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

/** The detail of a problem, with times in the member's zone. */
function friendly({ message, facts }) {
  const zone = state.member?.zone ?? "UTC";
  if (facts.next_tap_at) return `${facts.title}. The next tap opens ${dayAndTime(facts.next_tap_at, zone)}.`;
  if (facts.resets_at) return `${facts.title}. It starts again ${dayAndTime(facts.resets_at, zone)}.`;
  return message;
}

function celebrateStreak() {
  mark($("fuel-card"), { celebrating: true });
  celebrate($("fuel"), document.querySelector(".phone"));
  toast("Seven days in a row! The bonus is on its way.");
  setTimeout(() => mark($("fuel-card"), { celebrating: false }), CELEBRATED_MS);
}

// Events are sent by the shop's server. The page uses the sandbox's key in its place.

async function sendEvent(type, facts, button, rule) {
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
    const { status, body, took } = await call("POST", "/v1/shop/events", { body: [event], token: state.shopKey });
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
