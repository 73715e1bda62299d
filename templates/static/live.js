// Looks at the page again when the server says that something has changed, and puts the new parts in place of the old ones. Everything
// works without it; it keeps still while a person is writing or has something open.
"use strict";
const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
const look = async () => {
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML && !busy(part)) part.replaceWith(fresh);
  }
};
let waiting = null;
new EventSource("/admin/live").addEventListener("changed", () => {
  // Many changes at once are one look.
  waiting ??= setTimeout(() => { waiting = null; look().catch(() => {}); }, 300);
});
