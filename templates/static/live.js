// Looks at the page again when the server says that something has changed, and puts the new parts in place of the old ones. Everything
// works without it; it keeps still while a person is writing or has something open.
"use strict";
const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
const look = async () => {
  const answer = await fetch(location.href, { headers: { accept: "text/html", "x-dcvd-by-itself": "1" }, redirect: "manual" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML && !busy(part)) part.replaceWith(fresh);
  }
};
let waiting = null;
const soon = () => {
  // Many changes at once are one look.
  waiting ??= setTimeout(() => { waiting = null; look().catch(() => {}); }, 300);
};
// A browser has few connections to a host: only the page that is seen keeps one.
let source = null;
const listen = () => {
  if (source !== null || document.visibilityState !== "visible") return;
  source = new EventSource("/admin/live");
  source.addEventListener("changed", soon);
};
const leave = () => {
  source?.close();
  source = null;
};
addEventListener("pagehide", leave);
addEventListener("pageshow", listen);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") { listen(); soon(); } else leave();
});
listen();
