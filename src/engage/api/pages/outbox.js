// What the member did is kept until it is answered: without a line it waits, and is sent when the line is back.

import { call, newId, Problem } from "./api.js";

const STORAGE_KEY = "engage.demo.outbox";
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const KEPT_AT_MOST = 50;

/** The request was kept, and will be sent later. */
export class Kept extends Error {}

let waiting = [];
let on = { changed() {}, answered() {}, refused() {} };
let tokenOf = () => null;
let timer = 0;
let pause = FIRST_PAUSE_MS;
let sending = false;

/**
 * `events` is {changed(count), answered(request, answer), refused(request, problem)} for requests that were kept.
 * `token(member_id)` gives the token of that member, or null if another one uses the page.
 */
export function setUpOutbox(token, events) {
  tokenOf = token;
  on = events;
  try {
    waiting = JSON.parse(localStorage.getItem(STORAGE_KEY)) ?? [];
  } catch {
    waiting = [];
  }
  addEventListener("online", sendNow);
  if (waiting.length) later(0);
}

/** Send a request of the member. Raises Kept where there is no line; Problem where it is refused. */
export async function deliver(memberId, path, body) {
  const request = { key: newId(""), path, body, member_id: memberId };
  if (waiting.length === 0) {
    try {
      return await post(request);
    } catch (problem) {
      if (!isLost(problem)) throw problem;
    }
  }
  waiting = [...waiting, request].slice(-KEPT_AT_MOST);
  keep();
  later(pause);
  throw new Kept(path);
}

/** The line may be back. */
export function sendNow() {
  pause = FIRST_PAUSE_MS;
  later(0);
}

function post({ path, body, key, member_id }) {
  return call("POST", path, { body, key, token: tokenOf(member_id), attempts: 1 });
}

function isLost(problem) {
  return problem instanceof Problem && (problem.status === 0 || problem.status === 503);
}

function later(ms) {
  clearTimeout(timer);
  if (waiting.length) timer = setTimeout(sendWaiting, ms);
}

/** In the order in which they were made, each with its own key: twice sent is once done. */
async function sendWaiting() {
  if (sending) return;
  sending = true;
  try {
    while (waiting.length) {
      const [request] = waiting;
      if (tokenOf(request.member_id) === null) {
        // Another member uses the page now.
        drop(request);
        continue;
      }
      try {
        const answer = await post(request);
        drop(request);
        on.answered(request, answer);
      } catch (problem) {
        if (isLost(problem)) {
          pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
          return;
        }
        drop(request);
        if (!(problem instanceof Problem)) throw problem;
        on.refused(request, problem);
      }
    }
    pause = FIRST_PAUSE_MS;
  } finally {
    sending = false;
    later(pause);
  }
}

function drop(request) {
  waiting = waiting.filter((one) => one.key !== request.key);
  keep();
}

function keep() {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(waiting));
  } catch {
    // Without storage they wait in this page alone.
  }
  on.changed(waiting.length);
}
