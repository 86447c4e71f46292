// Keeps a page current. The server sends the parts that changed as HTML, and the version of runs, items and directives;
// a page that shows another version asks for itself again. Without this script, reloading does the same.
"use strict";

let source = null;

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
  const main = document.getElementById("main");
  if (version && version !== "away" && version !== main.dataset.version) {
    main.dataset.version = version;
    // Spread over a second, so that a hundred open pages do not ask at once. Nothing is replaced while somebody types.
    setTimeout(refresh, 1000 * Math.random());
  }
}

async function refresh() {
  const main = document.getElementById("main");
  if (main.querySelector("form :focus, details[open] :focus")) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const open = new Set([...main.querySelectorAll("details[open]")].map((one) => one.id));
  main.replaceChildren(...page.getElementById("main").childNodes);
  for (const one of main.querySelectorAll("details")) one.open = one.id !== "" && open.has(one.id);
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
