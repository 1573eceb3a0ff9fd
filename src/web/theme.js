// What a page must know before its first paint: light or dark. Shared by the chat and the laboratory.
//
// It knows nothing of either. A person's choice is kept in the browser (`encke.theme`: light, dark, or nothing
// for whatever the system says) and stands on the root element as `data-theme`; theme.css does the rest. As a
// plain script in the head it runs before anything is drawn, so no page flashes white at night. A store that
// refuses, forbidden or full, is one that keeps nothing: the choice counts for as long as the page lives.
(function () {
  "use strict";

  var KEY = "encke.theme";
  var BARS = { light: "#f5f7f5", dark: "#0d1416" }; // --paper, for the bar of a phone's browser
  var system = matchMedia("(prefers-color-scheme: dark)");

  var refused; // the choice that the store did not take

  function chosen() {
    if (refused !== undefined) return refused;
    try { return localStorage.getItem(KEY) || ""; } catch (e) { return ""; }
  }

  function apply() {
    var choice = chosen();
    var theme = choice === "light" || choice === "dark" ? choice : system.matches ? "dark" : "light";
    var bar = document.querySelector("meta[name=theme-color]");
    document.documentElement.setAttribute("data-theme", theme);
    if (bar) bar.setAttribute("content", BARS[theme]);
  }

  /** `enckeTheme()` is the choice; `enckeTheme("dark")` makes one, `enckeTheme("")` leaves it to the system. */
  window.enckeTheme = function (choice) {
    if (choice === undefined) return chosen();
    try {
      if (choice) localStorage.setItem(KEY, choice);
      else localStorage.removeItem(KEY);
      refused = undefined;
    } catch (e) {
      refused = choice;
    }
    apply();
    return choice;
  };

  if (system.addEventListener) system.addEventListener("change", apply);
  addEventListener("storage", function (event) { if (event.key === KEY) { refused = undefined; apply(); } });
  apply();
})();
