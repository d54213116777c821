// The stream as it flows. Without this the page reloads itself; with it, lines come at once and the rest of the page follows within seconds.
"use strict";
(() => {
  const monitor = document.querySelector("[data-monitor]");
  if (!monitor || !window.EventSource) return;
  const list = monitor.querySelector("[data-stream]");
  const pulse = monitor.querySelector("[data-pulse]");
  const most = 80;
  let seen = Number(monitor.dataset.after);
  let due = 0;

  const made = (name, text, kind) => {
    const node = document.createElement(name);
    if (kind) node.className = kind;
    if (text) node.textContent = text;
    return node;
  };
  const add = (line) => {
    const item = made("li", "", "new");
    item.dataset.seq = line.seq;
    const time = made("time", line.clock);
    time.dateTime = line.at;
    item.append(time, made("span", line.word, `badge ${line.tone}`));
    if (line.wish_id) {
      const link = made("a", line.text || line.wish_id);
      link.href = `/wish/${encodeURIComponent(line.area)}/${encodeURIComponent(line.wish_id)}`;
      item.append(link);
    } else {
      item.append(made("span", line.text || line.kind));
    }
    item.append(made("span", (line.place || []).join(" · "), "where"));
    const none = list.querySelector("[data-none]");
    if (none) none.remove();
    list.prepend(item);
    while (list.children.length > most) list.lastElementChild.remove();
  };

  // Whoever has signed out (in another tab, or because their time was over) is to leave no names on the screen: the page goes where one signs in.
  // A redirect there is not followed, as the form would come in the parts' place.
  const look = async () => {
    const answer = await fetch(monitor.dataset.parts, { headers: { accept: "text/html" }, credentials: "same-origin", redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      location.replace(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    } else if (answer.status === 403) {
      location.reload(); // they watch no longer, and are told so
    }
    return answer;
  };

  // Somebody is among the parts, and was a moment ago: a link that was opened elsewhere keeps the focus for as long as the page is open.
  const box = document.getElementById("parts");
  const REST_MS = 60000;
  let touched = 0;
  for (const kind of ["focusin", "keydown", "pointerdown"]) document.addEventListener(kind, () => { touched = performance.now(); });
  const isInUse = () => box.contains(document.activeElement) && performance.now() - touched < REST_MS;

  // The lists stay where somebody has scrolled them to, and the focus on what it was on.
  const renew = (parts) => {
    const lists = () => [...box.querySelectorAll(".column ul")];
    const places = lists().map((one) => one.scrollTop);
    const at = box.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    box.innerHTML = parts;
    lists().forEach((one, number) => { one.scrollTop = places[number] || 0; });
    const before = touched;
    if (at) box.querySelector(`a[href="${CSS.escape(at)}"]`)?.focus({ preventScroll: true });
    touched = before; // that was nobody's doing
  };

  // A page that lies open for days begins anew where nobody is at work on it: its charts are of when it was opened, and its scripts may be of an earlier version.
  const LASTS_MS = 3600000;
  const REST_BEFORE_MS = 300000;
  const version = () => box.querySelector("[data-version]")?.dataset.version;
  const first = version();
  const isOld = () => (version() !== first && performance.now() > REST_MS) || (performance.now() > LASTS_MS && performance.now() - touched > REST_BEFORE_MS);
  // Many pages open at once do not ask at once: each waits a while of its own, and none asks while nobody looks.
  const follow = () => {
    if (due) return;
    due = setTimeout(async () => {
      due = 0;
      if (document.hidden) return;
      if (isInUse()) { follow(); return; }
      try {
        const answer = await look();
        const parts = answer.ok ? await answer.text() : "";
        if (isInUse()) follow(); // somebody went there meanwhile, and would lose their place
        else if (answer.ok) {
          renew(parts);
          if (isOld()) location.reload();
        }
      } catch { /* the next line tries again */ }
    }, 1500 + Math.random() * 2500);
  };
  const say = (live) => {
    pulse.textContent = live ? pulse.dataset.live : pulse.dataset.lost;
    pulse.className = live ? "badge leaf" : "badge yellow";
  };

  const open = () => {
    const source = new EventSource(`/live?after=${seen}`);
    source.addEventListener("open", () => say(true));
    source.addEventListener("line", (event) => {
      const line = JSON.parse(event.data);
      if (line.seq <= seen) return;
      seen = line.seq;
      add(line);
      follow();
    });
    source.addEventListener("reset", () => location.reload());
    source.addEventListener("error", () => {
      say(false);
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(() => look().catch(() => { /* nobody there: it opens anew below */ }), Math.random() * 1500);
      setTimeout(open, 3000 + Math.random() * 3000);
    });
  };
  open();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) follow(); });
  setInterval(follow, 60000);
})();
