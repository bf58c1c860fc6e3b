// What the member plays: quizzes, the wheel, draws, leaderboards.

import { call, Problem } from "./api.js";
import { $, el, setText } from "./dom.js";
import { identity } from "./identity.js";
import { change, refresh, refreshSoon, rememberDraw } from "./model.js";
import { celebrate } from "./motion.js";
import { follow, followAnswer } from "./panel.js";
import { turnTo } from "./play.js";
import { ask, closeQuiz, showResult } from "./quiz.js";
import { attempt } from "./requests.js";
import { toast } from "./toast.js";

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
  const cells = facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  $("certificate-facts").replaceChildren(...cells);
  const file = `${draw.id}.json`;
  setText($("certificate-command"), `engage draw verify ${file}`);
  const link = $("certificate-file");
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([JSON.stringify(certificate, null, 2)], { type: "application/json" }));
  link.download = file;
  $("certificate").showModal();
}
