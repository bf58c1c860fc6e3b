// Words and pictures for what the API names: rules, activities, goals, countries.

const ICONS = {
  fuel_tap: "flame",
  registration: "spark",
  app_sign_in: "device",
  share: "share",
  review: "star",
  visit: "eye",
  birthday: "gift",
  order: "bag",
  quiz: "question",
  challenge: "flag",
  game: "wheel",
  draw: "ticket",
  referral: "friends",
  leaderboard: "trophy",
};

// Credits that no rule of the program pays.
const OTHERS = {
  adjustment: "Corrected by the store",
  opening_balance: "Points from before",
  transfer: "From another account",
};

/** The picture of a task or a credit: by its activity, or by the kind before the colon of its rule. */
export function iconOf({ activity, rule, kind }) {
  if (kind === "link") return "link";
  return ICONS[activity] ?? ICONS[rule?.split(":")[0]] ?? "spark";
}

/** The title of a rule: that of the tasks, of the program, or else the id in words. */
export function titleOf(rule, { tasks, program, challenges, quizzes, games, draws, boards }) {
  const [kind, id] = rule.split(":");
  const named = { challenge: challenges, quiz: quizzes, game: games, draw: draws, leaderboard: boards }[kind];
  return (
    tasks.find((task) => task.rule === rule)?.title ??
    program?.rules.find((one) => one.id === rule)?.title ??
    named?.find((one) => one.id === id)?.title ??
    OTHERS[rule] ??
    inWords(rule)
  );
}

export function inWords(id) {
  const words = id.replaceAll(/[_:-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const regions = new Intl.DisplayNames(["en"], { type: "region" });

export function countryName(code) {
  return regions.of(code) ?? code;
}

export function money({ amount, currency }) {
  const format = new Intl.NumberFormat("en-GB", { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}
