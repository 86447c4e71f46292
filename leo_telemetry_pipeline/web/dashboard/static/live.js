// Keeps a page current. The server sends the parts that changed as HTML, and the version of runs, items and directives;
// a page that shows another version asks for itself again. Without this script, reloading does the same.
"use strict";

let source = null;
let newest = "";
let isDue = false;

function connect() {
  source = new EventSource("/live");
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => say("This page is not live at the moment: its server does not answer.");
}

function show({ version, ...parts }) {
  say(version === "away" ? "The database does not answer. This page continues by itself." : "");
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id);
    if (part) part.innerHTML = html;
  }
  if (version && version !== "away") newest = version;
  if (isStale() && !isDue) {
    isDue = true;
    // Spread over a second, so that a hundred open pages do not ask at once.
    setTimeout(refresh, 1000 * Math.random());
  }
}

function isStale() {
  return newest !== "" && newest !== document.getElementById("main").dataset.version;
}

async function refresh() {
  await replace().catch(() => null);
  // Again, if somebody types, the server does not answer, or more has changed meanwhile.
  isDue = isStale();
  if (isDue) setTimeout(refresh, 4000 + 1000 * Math.random());
}

async function replace() {
  const main = document.getElementById("main");
  // Nothing is replaced while somebody types or chooses.
  const typed = [...main.querySelectorAll("input, textarea")].some((one) => one.value !== one.defaultValue);
  const chosen = [...main.querySelectorAll("select")].some((one) => one.selectedIndex !== preset(one));
  if (typed || chosen || main.querySelector("form :focus, details[open] :focus")) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const open = new Set([...main.querySelectorAll("details[open]")].map((one) => one.id));
  const found = page.getElementById("main");
  main.replaceChildren(...found.childNodes);
  main.dataset.version = found.dataset.version;
  for (const one of main.querySelectorAll("details")) one.open = one.id !== "" && open.has(one.id);
}

function preset(select) {
  return Math.max(0, [...select.options].findIndex((one) => one.defaultSelected));
}

function say(text) {
  const line = document.getElementById("offline");
  line.hidden = text === "";
  if (line.textContent !== text) line.textContent = text;
}

// A browser opens at most six connections to a server: hidden tabs must not hold one.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source.close();
  else connect();
});
connect();
