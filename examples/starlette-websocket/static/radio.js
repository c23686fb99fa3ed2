// What others have written is set as text, never as HTML.

const RETRY = 1000;  // milliseconds until a WebSocket that was closed is opened again; an EventSource does so itself
const $ = (id) => document.getElementById(id);

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function show(list, message) {
  const line = element("li", ` ${message.text}`);
  line.prepend(element("strong", `${message.from}:`));
  list.prepend(line);
}

function status(output, text, open) {
  output.textContent = text;
  output.classList.toggle("open", open);
}

// Speak: a WebSocket.

let socket;

function join(name) {
  const address = new URL(`radio?name=${encodeURIComponent(name)}`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.onopen = () => {
    status($("socket"), "open", true);
    $("join").hidden = true;
    $("say").hidden = false;
    $("say").elements.text.focus();
  };
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.kind === "message") show($("spoken"), event.content);
  };
  socket.onclose = ({ code, reason }) => {
    status($("socket"), `closed (${code}) ${reason}`, false);
    if (code !== 1008) {
      setTimeout(join, RETRY, name);
      return;
    }
    $("join").hidden = false;
    $("say").hidden = true;
  };
}

$("join").onsubmit = (event) => {
  event.preventDefault();
  join(event.target.elements.name.value);
};

$("say").onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(event.target.elements.text.value);
  event.target.reset();
};

// Listen: server-sent events.

const stream = new EventSource("events");
stream.onopen = () => status($("stream"), "open", true);
stream.onerror = () => status($("stream"), "closed", false);
stream.addEventListener("people", ({ data }) => {
  $("people").replaceChildren(...JSON.parse(data).map((name) => element("li", name)));
});
stream.addEventListener("message", ({ data }) => show($("heard"), JSON.parse(data)));
