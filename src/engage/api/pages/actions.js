// Actions of the member, and in the place of the shop's server: orders, removals, sign-ins.

import { call, newId, Problem } from "./api.js";
import * as clock from "./clock.js";
import { $, mark, setText } from "./dom.js";
import { chosenProduct } from "./earn.js";
import { streakRules } from "./home.js";
import { identity, join } from "./identity.js";
import { applyAnswer, change, refresh, refreshSoon, rememberDraw, state } from "./model.js";
import { celebrate, fly, once } from "./motion.js";
import { inWords, titleOf } from "./names.js";
import { deliver as deliverRequest, Kept } from "./outbox.js";
import { follow, followAnswer, followRefusal } from "./panel.js";
import { turnTo } from "./play.js";
import { ask, closeQuiz, showResult } from "./quiz.js";
import { addOrder, basketInWords, emptyBasket, orderToQuote, payment, setOrderState, setQuote } from "./shop.js";
import { clearError, toast } from "./toast.js";
import { dayAndTime, plural } from "./format.js";
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
  referral: () => $("referral").scrollIntoView({ block: "center" }),
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

/** Send an activity. Without a line it is kept, and sent when the line is back. */
async function send(button, path, body, rule = null) {
  if (button.ariaBusy === "true") return null;
  button.ariaBusy = "true";
  follow(`POST ${path}`, rule);
  try {
    const answer = await deliverRequest(identity().member_id, path, body);
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
async function attempt(button, method, path, { body, token = identity().token } = {}) {
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

/** A new member of a program and a country, perhaps invited by a friend. Raises Problem. */
export function joinAnew(program, country, code = null) {
  return join(program, country, code);
}

// Play.

export const PLAY = {
  async startQuiz(quiz, button) {
    const attemptOf = await attempt(button, "POST", `/v1/quizzes/${encodeURIComponent(quiz.id)}/attempts`);
    if (attemptOf === null) return;
    const answers = await ask(quiz, attemptOf);
    refreshSoon();
    if (answers === null) return;
    const path = `/v1/quizzes/${encodeURIComponent(quiz.id)}/attempts/${attemptOf.attempt_id}/answers`;
    follow(`POST ${path.replace(attemptOf.attempt_id, "…")}`, `quiz:${quiz.id}`);
    const result = await attempt(null, "POST", path, { body: { answers } });
    if (result === null) {
      closeQuiz();
      return;
    }
    followAnswer(202, 0, result.credits);
    showResult(attemptOf, result);
    refresh();
  },

  async play(game, card) {
    const button = card.querySelector(".spin");
    const result = card.querySelector(".result");
    setText(result, " ");
    follow(`POST /v1/games/${game.id}/plays`, `game:${game.id}`);
    const answer = await attempt(button, "POST", `/v1/games/${encodeURIComponent(game.id)}/plays`);
    if (answer === null) return;
    followAnswer(202, 0, answer.credits);
    button.ariaBusy = "true";
    await turnTo(card, game, answer.prize);
    button.ariaBusy = null;
    setText(result, answer.prize ? `${answer.prize.title}!` : "Nothing this time.");
    if (answer.prize) celebrate(button, document.querySelector(".phone"));
    refresh();
  },

  async enter(draw, button) {
    const answer = await attempt(button, "POST", `/v1/draws/${encodeURIComponent(draw.id)}/entries`, { body: entryOf(draw) });
    if (answer === null) return;
    rememberDraw(draw.id);
    toast(`You are in, with number ${answer.number}.`);
    refreshSoon();
  },

  async showCertificate(draw) {
    const certificate = await attempt(null, "GET", `/v1/draws/${encodeURIComponent(draw.id)}/certificate`);
    if (certificate !== null) openCertificate(draw, certificate);
  },

  async showBoard(board) {
    if (board.reading) return;
    board.reading = true;
    const path = `/v1/leaderboards/${encodeURIComponent(board.id)}?top=5`;
    try {
      const { body } = await call("GET", path, { token: identity().token });
      board.lines = body.items;
      board.members = body.members;
      change({});
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
    }
  },
};

/** A post that meets the conditions of a draw, as the member's network would show it. */
function entryOf({ conditions }) {
  if (!conditions) return {};
  const friends = Array.from({ length: conditions.mentions ?? 0 }, (_, n) => `@friend${n + 1}`);
  return { post: { text: [conditions.hashtag, ...friends].filter(Boolean).join(" "), visibility: "public" } };
}

function openCertificate(draw, certificate) {
  const facts = [
    ["entries", String(certificate.entries.length)],
    ["root", certificate.root],
    ["published", certificate.published_at],
    ["beacon round", String(certificate.round?.number ?? "")],
    ["algorithm", certificate.algorithm],
    ["winners", certificate.winners?.map((one) => `#${one}`).join(", ") ?? "not drawn yet"],
  ];
  setText($("certificate-title"), draw.title);
  setText($("certificate-words"), "Anyone can check the winners with this file alone.");
  const cells = facts.flatMap(([name, value]) => {
    const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    detail.textContent = value;
    return [term, detail];
  });
  $("certificate-facts").replaceChildren(...cells);
  const file = `${draw.id}.json`;
  setText($("certificate-command"), `engage draw verify ${file}`);
  const link = $("certificate-file");
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([JSON.stringify(certificate, null, 2)], { type: "application/json" }));
  link.download = file;
  $("certificate").showModal();
}

// The shop.

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

/** Remove a review or a share. Its points are taken back. */
export async function remove(what, id, button) {
  const taken = await sendEvent(`${what}.removed`, { [`${what}_id`]: id }, button);
  if (!taken) return;
  toast(`The shop removed the ${what}; its points are taken back.`);
  refreshSoon();
}

/** Send an event as the shop's server would. Returns false where it was refused. */
async function sendEvent(type, facts, button, rule) {
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
