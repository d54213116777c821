// The code stands behind "#", which a browser sends to nobody: hand it over in a form, and take it out of the address and the history.
"use strict";
const code = location.hash.slice(1);
if (code) {
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.getElementById("open-link");
  form.elements.code.value = code;
  form.requestSubmit();
}
