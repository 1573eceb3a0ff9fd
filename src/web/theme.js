// What a page must know before its first paint: light or dark. Shared by the chat and the laboratory.
//
// It knows nothing of either. A person's choice is kept in the browser (`encke.theme`: light, dark, or nothing
// for whatever the system says) and stands on the root element as `data-theme`; theme.css does the rest. As a
// plain script in the head it runs before anything is drawn, so no page flashes white at night.
(function () {
  "use strict";

  var KEY = "encke.theme";
  var BARS = { light: "#f5f7f5", dark: "#0d1416" }; // --paper, for the bar of a phone's browser
  var system = matchMedia("(prefers-color-scheme: dark)");

  // A browser that keeps nothing for pages throws at the mention of the store.
  function chosen() {
    try { return localStorage.getItem(KEY) || ""; } catch (e) { return ""; }
  }

  function apply() {
    var choice = chosen();
    var theme = BARS[choice] ? choice : system.matches ? "dark" : "light";
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
    } catch (e) {
      document.documentElement.setAttribute("data-theme", choice || "light");
      return choice;
    }
    apply();
    return choice;
  };

  if (system.addEventListener) system.addEventListener("change", apply);
  addEventListener("storage", function (event) { if (event.key === KEY) apply(); });
  apply();
})();
