// What a page does beside its forms; everything works without it.
"use strict";
const english = document.documentElement.lang === "en";
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
// A part of the page that could not be brought: say so at the top.
const tell = (text) => {
  const notice = document.createElement("div");
  notice.className = "notice bad flash";
  notice.setAttribute("role", "alert");
  notice.textContent = text;
  document.querySelectorAll(".notice.bad.flash").forEach((one) => one.remove());
  document.getElementById("main").prepend(notice);
  notice.scrollIntoView({ block: "center" });
};
document.addEventListener("htmx:responseError", (event) => {
  let told = {};
  try { told = JSON.parse(event.detail.xhr.responseText); } catch { /* no words came with it */ }
  tell((english ? told.en : told.zh) || (english ? "That did not work: reload the page and try again." : "没有成功，请刷新页面后再试。"));
});
document.addEventListener("htmx:sendError", () => tell(english ? "There is no network now: try again when it is back." : "现在没有网络，恢复后请再试一次。"));
// What took the place of what was tapped is where reading goes on.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.elt.tabIndex === -1) event.detail.elt.focus({ preventScroll: true });
});
