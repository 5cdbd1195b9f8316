// Before the first paint: the theme and the language as they were last time, so that nothing flashes.
(function () {
  var kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("heliograph.settings") || "{}");
  } catch {
    // Unreadable: the defaults below.
  }
  var root = document.documentElement;
  var light =
    kept.theme === "light" || (kept.theme !== "dark" && matchMedia("(prefers-color-scheme: light)").matches);
  root.dataset.theme = light ? "light" : "dark";
  if (kept.language) root.lang = kept.language === "zh" ? "zh-CN" : "en";
})();
