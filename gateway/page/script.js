/* Keeps an open page up to date. Everything is on the page without this: it only changes texts and
   attributes where they stand, so that what is selected, focused or opened stays so. */
"use strict";
(function () {
  var body = document.body, live = body.getAttribute("data-live");
  if (!live) return;
  if (!window.EventSource || !window.fetch || !window.AbortController) {
    /* An old browser: what it shows must not grow old either. */
    setInterval(function () { if (!document.hidden) location.reload(); }, 60000);
    return;
  }

  var QUIET_MS = 5500, ANSWER_MS = 3000, POLL_MS = 10000, LEAST_MS = 2000, MOST_FAILURES = 3;
  var stream = null, failures = 0, isGone = false, isAsking = false, isDue = false, refusals = 0;
  var heardMs = Date.now(), askedMs = 0, told = {};

  /* As the server writes it (words.py). */
  function power(w) {
    var a = Math.abs(w), kilo = a >= 999.5;
    var text = kilo ? (a / 1000).toFixed(a < 9995 ? 2 : 1) : a.toFixed(0);
    return text.replace(".", body.dataset.decimal) + "\u00a0" + (kilo ? "kW" : "W");
  }
  function way(w) {
    return w === null ? "none" : Math.abs(w) < 0.5 ? "still" : w > 0 ? "up" : "down";
  }
  function isHeld(node) {
    var chosen = window.getSelection && getSelection();
    return node.contains(document.activeElement) ||
      (chosen && !chosen.isCollapsed && chosen.containsNode(node, true));
  }
  /* Makes `old` what `made` is, in place where both have the same parts. */
  function patch(old, made) {
    if (old.nodeType === 3) {
      if (old.data !== made.data) old.data = made.data;
      return;
    }
    var i, attribute;
    for (i = 0; i < made.attributes.length; i++) {
      attribute = made.attributes[i];
      if (attribute.name !== "open" && old.getAttribute(attribute.name) !== attribute.value)
        old.setAttribute(attribute.name, attribute.value);
    }
    for (i = old.attributes.length - 1; i >= 0; i--) {
      attribute = old.attributes[i].name;
      if (attribute !== "open" && !made.hasAttribute(attribute)) old.removeAttribute(attribute);
    }
    var is = old.childNodes, will = made.childNodes, same = is.length === will.length;
    for (i = 0; same && i < is.length; i++) same = is[i].nodeName === will[i].nodeName;
    if (same) {
      for (i = 0; i < is.length; i++) patch(is[i], will[i]);
    } else if (!isHeld(old)) {
      while (old.firstChild) old.removeChild(old.firstChild);
      while (made.firstChild) old.appendChild(document.adoptNode(made.firstChild));
    }
  }

  function refresh() {
    if (isAsking) { isDue = true; return; }
    if (document.hidden) return;
    isAsking = true;
    isDue = false;
    askedMs = Date.now();
    var ending = new AbortController(), timer = setTimeout(function () { ending.abort(); }, ANSWER_MS);
    fetch(location.href, {
      headers: {"Accept": "text/html", "X-Requested-With": "fetch"},
      credentials: "same-origin", cache: "no-cache", signal: ending.signal
    }).then(function (answer) {
      if (answer.status === 401 || answer.status === 404) { location.reload(); return null; }
      if (answer.ok) return answer.text();
      /* It is there, and cannot answer this just now. */
      if (++refusals >= MOST_FAILURES) throw new Error("status " + answer.status);
      heardMs = Date.now();
      return null;
    }).then(function (text) {
      if (text === null) return;
      var made = new DOMParser().parseFromString(text, "text/html");
      heardMs = Date.now();
      refusals = 0;
      body.classList.remove("gone");
      isGone = false;
      ["main", "header"].forEach(function (name) {
        patch(document.querySelector(name), made.querySelector(name));
      });
      open();
    }).catch(gone).then(function () {
      clearTimeout(timer);
      isAsking = false;
      if (isDue) soon();
    });
  }
  function soon() {
    setTimeout(refresh, Math.max(0, askedMs + LEAST_MS - Date.now()));
  }

  /* Nothing of what was true is shown as if it were true now. */
  function gone() {
    if (isGone) return;
    isGone = true;
    close();
    body.classList.add("gone");
    [].forEach.call(document.querySelectorAll(".now"), function (node) {
      node.classList.remove("now");
      node.classList.add("none");
      [].forEach.call(node.querySelectorAll("[data-k]"), function (each) {
        if (/^[ws]\./.test(each.dataset.k)) each.textContent = /^w/.test(each.dataset.k) ? "\u2013" : "";
      });
    });
    var mood = document.getElementById("mood");
    if (!mood) return;
    mood.textContent = "";
    var box = document.createElement("div"), inside = document.createElement("div");
    var head = document.createElement("h2"), text = document.createElement("p");
    box.className = "mood bad";
    head.textContent = body.dataset.gone;
    text.textContent = body.dataset.goneHelp;
    inside.appendChild(head);
    inside.appendChild(text);
    box.appendChild(inside);
    mood.appendChild(box);
  }

  function now(event) {
    heardMs = Date.now();
    failures = 0;
    var said = JSON.parse(event.data).power_w, stale = isGone, missing = false;
    [].forEach.call(document.querySelectorAll("[data-k^='w.']"), function (text) {
      var id = text.dataset.k.slice(2), group = text.closest("[data-way]");
      if (!(id in said)) { missing = true; return; }
      if (!group || group.dataset.way !== way(said[id])) { stale = true; return; }
      if (said[id] === null) return;
      var shown = power(said[id]);
      if (text.firstChild && text.firstChild.data !== shown) text.firstChild.data = shown;
    });
    if (stale || (missing && Date.now() - askedMs > POLL_MS)) refresh();
  }
  /* The first of a kind tells how it is, the next ones that it has changed. */
  function news(event) {
    heardMs = Date.now();
    var before = told[event.type];
    told[event.type] = event.data;
    if (before !== undefined && before !== event.data) soon();
  }

  function open() {
    if (stream || document.hidden || failures >= MOST_FAILURES) return;
    stream = new EventSource(live);
    stream.addEventListener("now", now);
    ["slot", "delivery", "problems"].forEach(function (name) {
      stream.addEventListener(name, news);
    });
    stream.addEventListener("bye", function () { failures = MOST_FAILURES; close(); });
    stream.onerror = function () {
      failures++;
      close();
      refresh();
    };
  }
  function close() {
    if (stream) stream.close();
    stream = null;
  }

  setInterval(function () {
    if (document.hidden || isAsking) return;
    var quiet = Date.now() - heardMs, patience = stream || isGone ? QUIET_MS : POLL_MS;
    if (quiet > patience && Date.now() - askedMs > LEAST_MS) refresh();
  }, 1000);
  addEventListener("beforeprint", function () {
    [].forEach.call(document.querySelectorAll("details"), function (each) { each.open = true; });
  });
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) { close(); return; }
    failures = 0;
    heardMs = Date.now();
    refresh();
  });
  open();
})();
