// Small tools for the document. Everything that comes from the API is set as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** `el("li", {class: "x", data: {state: "y"}}, "text", child)` */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "data") mark(element, value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function icon(name, className = "icon") {
  const use = svg("use", { href: `/demo/icons.svg#${name}` });
  return svg("svg", { class: className, "aria-hidden": "true" }, use);
}

/** Data attributes; true sets an empty one, false and undefined take it away. */
export function mark(element, marks) {
  for (const [name, value] of Object.entries(marks)) {
    if (value === false || value === undefined || value === null) delete element.dataset[name];
    else element.dataset[name] = value === true ? "" : value;
  }
}

/** Leaves the document alone where nothing changes, so that nothing is read out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
