// Starts the dashboard. It is a file of its own so that the page needs no inline script.
import init from "./vpnsentinel-ui.js";

try {
  await init({ module_or_path: new URL("./vpnsentinel-ui_bg.wasm", import.meta.url) });
} catch (error) {
  const place = document.getElementById("boot");
  if (place) {
    place.textContent =
      "The dashboard could not start: " + error + ". Reload the page, or use vpnsentinel-node status.";
  }
}
