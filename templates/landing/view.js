// The plain page: puts a state on the screen, loads clerk-js from the instance's own Frontend API.

const card = document.querySelector(".landing-card");
const title = document.querySelector(".landing-title");
const text = document.querySelector(".landing-text");
const actions = document.querySelector(".landing-actions");
let leaving = 0;

function put(state) {
  const words = STATES[state.name];
  card.dataset.state = state.name;
  card.dataset.tone = words.tone;
  card.querySelector("path").setAttribute("d", ICONS[words.icon]);
  title.textContent = words.title;
  text.replaceChildren(...pieces(textOf(words, state), state).map(asNode));
  actions.replaceChildren(...actionsOf(words.actions, state).map((action) => asControl(action, state)));
  clearTimeout(leaving);
  const onward = onwardFrom(state);
  if (onward) {
    leaving = setTimeout(() => window.location.assign(onward), LINGER);
  }
}

function asNode({ value, exact }) {
  const node = document.createElement(exact ? "code" : "span");
  node.textContent = value;
  return node;
}

// A form of its own: `campaign serve` answers with a page, and needs no script for it.
function asForm(action, state) {
  const form = document.createElement("form");
  form.className = "landing-form";
  form.method = "post";
  form.action = RENEW;
  const tag = document.createElement("input");
  tag.type = "hidden";
  tag.name = "tag";
  tag.value = state.renew;
  const button = document.createElement("button");
  button.className = "landing-action";
  button.textContent = labelOf(action, state);
  form.append(tag, button);
  return form;
}

function asControl(action, state) {
  if (action.does === "renew") {
    return asForm(action, state);
  }
  const place = placeOf(action, state);
  const control = document.createElement(place ? "a" : "button");
  control.className = "landing-action";
  control.textContent = labelOf(action, state);
  if (place) {
    control.href = place;
  } else {
    control.type = "button";
    control.addEventListener("click", () => {
      // The button goes away with its state: the keyboard's place moves to what is said instead.
      title.focus();
      landing.press(action.does);
    });
  }
  return control;
}

function connect() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SETTINGS.script;
    script.async = true;
    script.dataset.clerkPublishableKey = SETTINGS.publishableKey;
    if (SETTINGS.proxyUrl) {
      script.dataset.clerkProxyUrl = SETTINGS.proxyUrl;
    }
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });
}

const landing = makeLanding({
  link: takeLink((address) => window.history.replaceState(null, "", address)),
  display: put,
  forget: forgetLink,
});
window.addEventListener("hashchange", loadNextLink);

put({ name: "loading" });
setTimeout(() => card.dataset.state === "loading" && put({ name: "unreachable" }), PATIENCE);
connect()
  .then(() => window.Clerk.load({ telemetry: false }))
  .then(() => landing.begin(window.Clerk))
  .catch(() => put({ name: "unreachable" }));
