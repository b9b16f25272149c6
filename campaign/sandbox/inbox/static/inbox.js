// Keeps the list and the tokens of an open page as they are now. Everything works without it, after a reload.

const PERIOD = 1000;
const words = document.querySelector("[data-pulse-words]");
const calm = words.textContent;

function say(text) {
  if (words.textContent !== text) {
    words.textContent = text;
  }
  document.body.classList.toggle("lost", text !== calm);
}

function replace(part, html) {
  const before = Number(part.querySelector("[data-newest]")?.dataset.newest ?? 0);
  const place = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  for (const mail of part.querySelectorAll("[data-number]")) {
    mail.classList.toggle("fresh", before > 0 && Number(mail.dataset.number) > before);
  }
  if (place) {
    part.querySelector(`[href="${CSS.escape(place)}"]`)?.focus({ preventScroll: true });
  }
  if (document.querySelector("[data-until-mail]") && part.querySelector("[data-number]")) {
    window.location.reload();
  }
}

async function look(part) {
  const answer = await fetch(part.dataset.live, {
    headers: { "If-None-Match": `"${part.dataset.mark}"` },
    cache: "no-store",
  });
  if (answer.status === 200) {
    part.dataset.mark = (answer.headers.get("ETag") ?? "").replaceAll('"', "");
    replace(part, await answer.text());
  }
}

async function lookAgain() {
  if (!document.hidden) {
    try {
      await Promise.all([...document.querySelectorAll("[data-live]")].map(look));
      say(calm);
    } catch {
      say("The sandbox has stopped");
    }
  }
  setTimeout(lookAgain, PERIOD);
}

document.addEventListener("visibilitychange", () => document.hidden || document.querySelectorAll("[data-live]").forEach((part) => look(part).catch(() => {})));
setTimeout(lookAgain, PERIOD);
