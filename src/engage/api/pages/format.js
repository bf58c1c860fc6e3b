// The products of the demo store, and the formats of times and numbers.

// Prices are in thousandths of a typical phone, so that every currency has sensible ones (`shop.js`).
export const PRODUCTS = [
  { id: "nova-one", name: "Nova One", art: "product-phone", price: 1000 },
  { id: "pulse-band", name: "Pulse Band", art: "product-band", price: 120 },
  { id: "aura-buds", name: "Aura Buds", art: "product-buds", price: 200 },
  { id: "dusk-lamp", name: "Dusk Lamp", art: "product-lamp", price: 80 },
];

export function productName(id) {
  return PRODUCTS.find((product) => product.id === id)?.name ?? id;
}

const formats = new Map();

function format(at, zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }));
  return formats.get(key).format(typeof at === "string" ? Date.parse(at) : at);
}

export const clockTime = (at, zone) => format(at, zone, { hour: "2-digit", minute: "2-digit" });
export const weekday = (at, zone) => format(at, zone, { weekday: "short" });
export const shortDay = (at, zone) => format(at, zone, { weekday: "short", day: "numeric", month: "short" });
export const dayAndMonth = (at, zone) => format(at, zone, { day: "numeric", month: "short" });
export const longDay = (at, zone) => format(at, zone, { day: "numeric", month: "short", year: "numeric" });
export const dayAndTime = (at, zone) => `${shortDay(at, zone)}, ${clockTime(at, zone)}`;
export const exactly = (at, zone) => `${longDay(at, zone)}, ${format(at, zone, { timeStyle: "medium" })}`;

export const logTime = (at) => format(at, undefined, { timeStyle: "medium" });

/** The calendar day in a zone, to compare with others: 2026-11-21. */
export function dayOf(at, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  return parts.format(typeof at === "string" ? Date.parse(at) : at);
}

/** 4:59, or 2 h 05 min, or 3 days. Rounded up, so that it ends at zero. */
export function countdown(ms) {
  const seconds = Math.max(Math.ceil(ms / 1000), 0);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) return `${hours} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} days`;
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

const numbers = new Intl.NumberFormat("en-GB");

export function number(value) {
  return numbers.format(value);
}
