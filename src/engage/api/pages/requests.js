// Requests of the page: as the member, kept where there is no line, and in the place of the shop's server.

import { call, newId, Problem } from "./api.js";
import * as clock from "./clock.js";
import { $ } from "./dom.js";
import { dayAndTime } from "./format.js";
import { identity } from "./identity.js";
import { applyAnswer, refreshSoon, state } from "./model.js";
import { fly, once } from "./motion.js";
import { inWords } from "./names.js";
import { deliver, Kept } from "./outbox.js";
import { follow, followAnswer, followRefusal } from "./panel.js";
import { clearError, toast } from "./toast.js";

/** Send an activity. Without a line it is kept, and sent when the line is back. */
export async function send(button, path, body, rule = null) {
  if (button.ariaBusy === "true") return null;
  button.ariaBusy = "true";
  follow(`POST ${path}`, rule);
  try {
    const answer = await deliver(identity().member_id, path, body);
    answered(answer, button);
    return answer.body;
  } catch (problem) {
    if (problem instanceof Kept) kept(button);
    else refused(problem, button);
    return null;
  } finally {
    button.ariaBusy = null;
  }
}

function answered({ status, body, took }, button) {
  clearError();
  followAnswer(status, took, body.credits);
  applyAnswer(body);
  const points = body.credits.reduce((sum, credit) => sum + credit.points, 0);
  if (button !== null && points) fly(`+${points}`, button.querySelector(".plus") ?? button, $("active"));
  refreshSoon();
}

function kept(button) {
  once(button, "nudge");
  toast("No line right now. It is kept, and sent when the line is back.");
}

/** What was kept has been answered: for the outbox. */
export function answeredLater(request, answer) {
  toast(`${inWords(request.path.split("/").at(-1))}: sent, now that the line is back.`);
  if (answer.body?.credits) answered(answer, null);
  refreshSoon();
}

export function refusedLater(request, problem) {
  toast(`${inWords(request.path.split("/").at(-1))}: ${problem.message}`, { urgent: true });
  refreshSoon();
}

function refused(problem, button) {
  if (!(problem instanceof Problem)) throw problem;
  followRefusal(problem);
  if (button) once(button, "nudge");
  toast(friendly(problem), { urgent: true });
  refreshSoon();
}

/** The detail of a problem, with times in the member's zone. */
function friendly({ message, facts }) {
  const zone = state.member?.zone ?? "UTC";
  if (facts.why?.text) return facts.why.text;
  if (facts.next_tap_at) return `${facts.title}. The next tap opens ${dayAndTime(facts.next_tap_at, zone)}.`;
  if (facts.resets_at) return `${facts.title}. It starts again ${dayAndTime(facts.resets_at, zone)}.`;
  return message;
}

/** Ask the API as the member, or with `key` as the shop; its answer, or null where it was refused. */
export async function attempt(button, method, path, { body, token = identity().token } = {}) {
  if (button?.ariaBusy === "true") return null;
  if (button) button.ariaBusy = "true";
  try {
    const { body: answer } = await call(method, path, { body, token });
    clearError();
    return answer;
  } catch (problem) {
    refused(problem, button);
    return null;
  } finally {
    if (button) button.ariaBusy = null;
  }
}

/** Send an event as the shop's server would. Returns false where it was refused. */
export async function sendEvent(type, facts, button, rule) {
  if (button.ariaBusy === "true") return false;
  button.ariaBusy = "true";
  const { program, member_id } = identity();
  const time = new Date(clock.now()).toISOString();
  const event = { id: newId("e-"), type, time, program, member_id, data: facts };
  follow(`event ${type}`, rule);
  try {
    const { status, body, took } = await call("POST", "/v1/shop/events", { body: [event], token: state.shopKey });
    if (body.refused.length) throw new Problem(422, body.refused[0]);
    clearError();
    followAnswer(status, took);
    const points = button.querySelector(".plus")?.textContent;
    if (points) fly(points, button, $("active"));
    return true;
  } catch (problem) {
    refused(problem, button);
    return false;
  } finally {
    button.ariaBusy = null;
  }
}
