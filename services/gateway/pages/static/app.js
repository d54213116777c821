// What a page does beside its forms; everything works without it.
"use strict";
const english = document.documentElement.lang === "en";
const main = document.getElementById("main");
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js");

// What is said about a tap stands beside what was tapped, so that nothing moves away under the finger; else at the top.
const told = (text, kind, form) => {
  const notice = document.createElement("div");
  notice.className = `notice ${kind} told`;
  notice.setAttribute("role", kind === "bad" ? "alert" : "status");
  notice.textContent = text;
  document.querySelectorAll(".notice.told").forEach((one) => one.remove());
  if (form && form.closest("article")) form.after(notice);
  else { notice.classList.add("flash"); main.prepend(notice); notice.scrollIntoView({ block: "center" }); }
};
const AWAY = english
  ? "No answer came: there is no network now, or it is slow. Try again when it is back; what has arrived counts once."
  : "没有收到回音：现在没有网络，或网络太慢。恢复后请再试一次，已经送到的不会重复。";

// A button that was tapped is not tapped twice; where no answer comes, it can be after a while, and what was said twice counts once.
const AGAIN_MS = 20000;
const SLOW_MS = 5000;
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (!navigator.onLine) { event.preventDefault(); told(AWAY, "bad", form); return; }
  form.dataset.sent = "yes";
  const able = (is) => form.querySelectorAll("button").forEach((one) => { one.disabled = !is; });
  setTimeout(() => able(false));
  setTimeout(() => able(true), AGAIN_MS);
  setTimeout(() => told(english ? "Still waiting for the answer." : "还在等回音，请稍候。", "wait", form), SLOW_MS);
});

// A tap that was meant for what stood here a moment ago is none on what has come in its place: an answer brings another wish, and its button.
const SETTLE_MS = 700;
let changed = -SETTLE_MS;
document.addEventListener("submit", (event) => {
  if (performance.now() - changed > SETTLE_MS) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

// A claim is sent by htmx.
const waits = new WeakMap();
document.addEventListener("htmx:beforeRequest", (event) => {
  const form = event.detail.elt;
  waits.set(form, setTimeout(() => told(english
    ? "Still waiting for the answer. It will be on “Mine”, too."
    : "还在等结果，请稍候。结果也会出现在“我的”里。", "wait", form), SLOW_MS));
});
document.addEventListener("htmx:beforeOnLoad", (event) => clearTimeout(waits.get(event.detail.elt)));
const failed = (event, text) => {
  const form = event.detail.elt;
  clearTimeout(waits.get(form));
  told(text, "bad", form);
  setTimeout(() => { if (document.activeElement === document.body) form.querySelector("button")?.focus({ preventScroll: true }); });
};
document.addEventListener("htmx:responseError", (event) => {
  let words = {};
  try { words = JSON.parse(event.detail.xhr.responseText); } catch { /* no words came with it */ }
  failed(event, (english ? words.en : words.zh) || (english ? "That did not work: reload the page and try again." : "没有成功，请刷新页面后再试。"));
});
document.addEventListener("htmx:sendError", (event) => failed(event, AWAY));
document.addEventListener("htmx:timeout", (event) => failed(event, AWAY));
// What took the place of what was tapped is where reading goes on, from its beginning.
document.addEventListener("htmx:afterSwap", (event) => {
  changed = performance.now();
  document.querySelectorAll(".notice.told").forEach((one) => one.remove());
  const come = event.detail.elt;
  if (come.tabIndex !== -1) return;
  come.focus({ preventScroll: true });
  if (come.getBoundingClientRect().top < document.querySelector(".top").offsetHeight) come.scrollIntoView({ block: "start" });
});

// “Today” and “tomorrow” are of the day on which a page was made. One that lay open over midnight begins anew; where something is being filled in, there is no
// network, or a form's answer would be asked for again, it says so. By this clock alone, which may be wrong, a day that is over is over.
const day = () => Math.floor((Date.now() + 8 * 3600000) / 86400000); // China's
const MADE = day();
const MADE_ON = new Date().toLocaleDateString(english ? "en-GB" : "zh-CN", { timeZone: "Asia/Shanghai", month: "long", day: "numeric", weekday: "short" });
const TURNED = english
  ? `This page was opened on ${MADE_ON}: “today” and “tomorrow” are meant from that day. Open it again to see how things are now.`
  : `这一页是${MADE_ON}打开的，页上的“今天”“明天”从那天算起。请重新打开，看现在的情况。`;
const REST_MS = 60000;
let touched = -REST_MS;
let typed = false;
for (const kind of ["keydown", "pointerdown"]) document.addEventListener(kind, () => { touched = performance.now(); });
document.addEventListener("input", () => { typed = true; });
const turn = async () => {
  if (day() === MADE || document.hidden || !/今天|明天|today|tomorrow/i.test(main.innerText)) return;
  try {
    if (typed || !("got" in document.body.dataset)) throw new Error("not to be loaded again");
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
    if (answer.status >= 500) throw new Error("not now");
    location.reload();
  } catch {
    if (![...document.querySelectorAll(".told")].some((one) => one.textContent === TURNED)) told(TURNED, "wait");
  }
};
document.addEventListener("visibilitychange", turn);
setInterval(() => { if (performance.now() - touched > REST_MS) turn(); }, 20000);

// Back from the browser's own cache: taps count again, but nothing is shown of somebody who is not signed in here any more.
window.addEventListener("pageshow", async (event) => {
  if (!event.persisted) return;
  document.querySelectorAll("form button[disabled]").forEach((one) => { one.disabled = false; });
  document.querySelectorAll(".notice.told").forEach((one) => one.remove());
  if (wish && wish.dataset.sent) { location.replace(location.pathname); return; } // it is in, or is kept by the tab
  if (!("signedIn" in document.body.dataset)) return;
  document.body.hidden = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
    const token = JSON.parse(document.body.getAttribute("hx-headers"))["x-csrf"];
    if (answer.type === "opaqueredirect" || !(await answer.text()).includes(token)) {
      if (wish) keep();
      location.reload();
      return;
    }
  } catch { /* no network: nobody can have signed in here meanwhile */ }
  document.body.hidden = false;
});

// What was filled in and not taken, as a session had ended or the network was away: this tab keeps it until it is in, for the same account alone.
const KEPT = "kept-form";
const wish = document.querySelector("form[data-keep]");
const keep = () => sessionStorage.setItem(KEPT, JSON.stringify([wish.dataset.keep, [...new FormData(wish)].filter(([name]) => name !== "csrf")]));
if (/[?&]said=(entered|laid)\b/.test(location.search)) sessionStorage.removeItem(KEPT);
if (wish) {
  wish.addEventListener("submit", () => keep());
  const [whose, fields] = JSON.parse(sessionStorage.getItem(KEPT) || "[null, []]");
  if (whose !== wish.dataset.keep) {
    sessionStorage.removeItem(KEPT);
  } else if (wish.dataset.fresh) {
    sessionStorage.removeItem(KEPT);
    wish.querySelectorAll("input[type=checkbox]").forEach((one) => { one.checked = false; });
    for (const [name, value] of fields) {
      for (const one of wish.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
        if (one.type === "radio" || one.type === "checkbox") one.checked = one.checked && one.type === "checkbox" || one.value === value;
        else one.value = value;
      }
    }
    wish.querySelectorAll("details").forEach((one) => { one.open = true; });
    typed = true; // by whoever filled it in before
    told(wish.dataset.fresh, "wait");
  }
}
