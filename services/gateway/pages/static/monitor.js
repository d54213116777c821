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

  // The lists stay where somebody has scrolled them to.
  const renew = (parts) => {
    const lists = () => [...document.querySelectorAll("#parts .column ul")];
    const places = lists().map((one) => one.scrollTop);
    document.getElementById("parts").innerHTML = parts;
    lists().forEach((one, number) => { one.scrollTop = places[number] || 0; });
  };

  const isInUse = () => Boolean(document.activeElement && document.activeElement.closest("#parts"));
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
        else if (answer.ok) renew(parts);
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
