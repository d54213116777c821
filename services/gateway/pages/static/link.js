// The code stands behind "#", which a browser sends to nobody: hand it over in a form, and take it out of the address and the history.
"use strict";
const take = () => {
  const code = location.hash.slice(1);
  if (!code || document.getElementById(code)) return; // nothing, or a place on this page, as "skip to content" names one
  history.replaceState(null, "", location.pathname + location.search);
  // Of another link, in the same tab: until its page is there, nobody taps what the one before was for.
  document.querySelectorAll("form[action='/a/say']").forEach((one) => one.remove());
  const form = document.getElementById("open-link");
  form.elements.code.value = code;
  form.requestSubmit();
};
take();
window.addEventListener("hashchange", take);
