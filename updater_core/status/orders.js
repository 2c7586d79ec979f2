// The buttons of the status page. They ask for a token, which stays in this page's memory and goes with it; without
// this script the page is the same, and can only be read.
"use strict";
(() => {
  const LABELS = {
    approve: "Approve", skip: "Skip", update: "Update now", pause: "Pause", resume: "Resume", retry: "Retry",
    rollback: "Roll back",
  };
  const SURE = new Set(["update", "rollback", "approve"]);
  let token = "";

  const make = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const ask = async (path, method = "GET", body = undefined) => {
    const headers = { Authorization: `Bearer ${token}` };
    if (method === "POST") headers["Content-Type"] = "application/json";
    const answer = await fetch(`/api/v1/${path}`, {
      method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store", redirect: "error",
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error([found.error || found.detail, found.remedy].filter(Boolean).join(" – "));
    return found;
  };

  const section = make("section", "", { id: "orders", "aria-labelledby": "orders-title" });
  const form = make("form", "", { id: "orders-form" });
  const field = make("input", "", {
    id: "orders-token", type: "password", autocomplete: "off", required: "", spellcheck: "false",
  });
  const said = make("p", "", { id: "orders-said", role: "status", "aria-live": "polite" });
  const list = make("div", "", { id: "orders-list" });

  const kinds = (service) => {
    const waits = service.available && service.available.digest;
    const found = [];
    if (waits && (service.mode === "approve" || service.reason === "skipped")) found.push("approve");
    if (waits) found.push("skip");
    found.push("update", service.pause ? "resume" : "pause", "retry", "rollback");
    return service.enabled ? found : ["retry", "rollback"];
  };

  // "ghcr.io/acme/api:2@sha256:9f3c1d…": enough to tell two apart, and no longer than a phone is wide
  const brief = (reference) => reference.replace(/(sha(?:256|512):[0-9a-f]{12})[0-9a-f]+$/, "$1…");

  const give = async (service, kind, button) => {
    const waits = service.available ? ` (${brief(service.available.reference)})` : "";
    if (SURE.has(kind) && !window.confirm(`${LABELS[kind]}: ${service.name}${kind === "rollback" ? "" : waits}?`)) return;
    const pinned = (kind === "approve" || kind === "skip") && service.available;
    button.disabled = true;
    said.textContent = `${LABELS[kind]}: ${service.name} …`;
    try {
      const body = pinned ? { digest: service.available.digest } : {};
      const order = await ask(`services/${encodeURIComponent(service.name)}/${kind}`, "POST", body);
      said.textContent = `${service.name}: ${order.detail}`;
      await show(`${service.name} ${kind}`);
    } catch (error) {
      said.textContent = `${service.name}: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  };

  const row = (service) => {
    const group = make("div", "", { role: "group", "aria-label": service.name });
    const why = service.reason ? `: ${service.reason}` : "";
    group.append(make("h3", service.name), make("p", `${service.state}${why}`));
    if (service.available) {
      const waits = make("p", "→ ");
      waits.append(make("code", brief(service.available.reference)));
      group.append(waits);
    }
    const buttons = make("p");
    for (const kind of kinds(service)) {
      const button = make("button", LABELS[kind], {
        type: "button", "data-key": `${service.name} ${kind}`, "aria-label": `${LABELS[kind]}: ${service.name}`,
      });
      button.addEventListener("click", () => give(service, kind, button));
      buttons.append(button, " ");
    }
    group.append(buttons);
    return group;
  };

  const show = async (focused = "") => {
    const { services } = await ask("services");
    list.replaceChildren(...services.map(row));
    const again = [...list.querySelectorAll("button")].find((each) => each.dataset.key === focused);
    if (again) again.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    token = field.value.trim();
    field.value = "";
    try {
      await show();
      said.textContent = "The token is good. It is kept until this page is left.";
      form.hidden = true;
      const first = list.querySelector("button");
      if (first) first.focus();
    } catch (error) {
      token = "";
      said.textContent = error.message;
      field.focus();
    }
  });

  const label = make("label", "API token ", { for: "orders-token" });
  const line = make("p");
  line.append(label, field, " ", make("button", "Show the buttons", { type: "submit" }));
  form.append(line);
  section.append(make("h2", "Orders", { id: "orders-title" }), form, said, list);
  const services = document.getElementById("services");
  const before = services && (services.closest("section") || services);
  document.querySelector("main").insertBefore(section, before);
  const links = document.querySelector("header nav");
  if (links) links.append(make("a", "Orders", { href: "#orders" }));
})();
