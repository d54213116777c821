// What a page does beside its forms; everything works without it.
"use strict";
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js");
// A button that was tapped is not tapped twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  setTimeout(() => form.querySelectorAll("button").forEach((one) => { one.disabled = true; }));
});
// Back from the page's cache: taps count again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("form button[disabled]").forEach((one) => { one.disabled = false; });
});
