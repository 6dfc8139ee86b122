(() => {
  "use strict";
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const posterior = (key) => key.split("/").slice(0, key.split("/").length - depth(key)).join("/");
  // A key is POSTERIOR/FUNCTION or POSTERIOR/FUNCTION/MODE; a posterior's name may hold a slash.
  const depth = (key) => (/\/-?\d+\/\d+$/.test(key) ? 2 : 1);
  const within = (inner, outer) => inner === outer || inner.startsWith(outer + "/");

  // What can be chosen becomes a button; choosing it fades everything else of its posterior.
  let chosen = "";
  const picks = all("span.pick").map((span) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pick";
    button.dataset.pick = span.dataset.pick;
    button.setAttribute("aria-pressed", "false");
    button.append(...span.childNodes);
    span.replaceWith(button);
    button.addEventListener("click", () => choose(chosen === button.dataset.pick ? "" : button.dataset.pick));
    return button;
  });
  const clear = document.createElement("button");
  clear.type = "button";
  clear.id = "clear";
  clear.textContent = "Show all functions";
  clear.hidden = true;
  clear.addEventListener("click", () => choose(""));
  document.querySelector("main").append(clear);

  function choose(key) {
    chosen = key;
    clear.hidden = !key;
    for (const pick of picks) pick.setAttribute("aria-pressed", String(pick.dataset.pick === key));
    for (const one of all("[data-key]")) {
      const own = one.dataset.key;
      const other = key && posterior(own) === posterior(key) && !within(own, key) && !within(key, own);
      one.classList.toggle("faded", Boolean(other));
    }
  }

  // Marks say what they show, at the pointer and to the keyboard: one tab stop for each figure.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const tell = (mark, x, y) => {
    tip.textContent = mark.dataset.says;
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(x + 12, room)) + scrollX}px`;
    tip.style.top = `${y + 14 + scrollY}px`;
  };
  const hush = () => { tip.hidden = true; };
  for (const svg of all("figure svg")) {
    const marks = all("[data-says]", svg);
    marks.forEach((mark, place) => {
      mark.setAttribute("tabindex", place ? "-1" : "0");
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", mark.dataset.says);
      mark.addEventListener("focus", () => {
        const box = mark.getBoundingClientRect();
        tell(mark, box.left + box.width / 2, box.bottom - 8);
      });
      mark.addEventListener("blur", hush);
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = marks[(place + step + marks.length) % marks.length];
        mark.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
    svg.addEventListener("pointermove", (event) => {
      const mark = event.target.closest("[data-says]");
      if (mark) tell(mark, event.clientX, event.clientY);
      else hush();
    });
    svg.addEventListener("pointerleave", hush);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (tip.hidden && !document.querySelector(":popover-open")) choose("");
    hush();
  });
})();
