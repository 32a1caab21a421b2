"use strict";
(() => {
  const places = JSON.parse(document.getElementById("chart-data").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const tick = (v, scale) => scale === "percent" ? number.format(v * 100) + " %" : number.format(v);
  const exact = (v, scale) => scale === "percent" ? (v * 100).toFixed(2) + " %" : number.format(v);
  const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const add = (parent, tag, text) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // A logarithmic axis cannot show zero, so values that are all zero have a linear one.
  for (const place of places) for (const chart of place.variants) {
    const lines = chart.series.filter((s) => s.kind !== "rules" && s.kind !== "limit");
    const isAbove = (part) => lines.some((s) => s.data.some((v) => (Array.isArray(v) ? v[part] : v) > 0));
    if (chart.y.scale === "log" && !isAbove(1)) chart.y.scale = "linear";
    if (chart.x.scale === "log" && !chart.categories.length && !isAbove(0)) chart.x.scale = "linear";
  }

  function option(chart, state) {
    const css = getComputedStyle(document.documentElement);
    const color = (name) => css.getPropertyValue(name).trim();
    const bars = chart.categories.length > 0;
    const rules = chart.series.filter((s) => s.kind === "rules");
    const marks = new Set(["rules", "limit"]);
    const shown = chart.series.filter((s) => !marks.has(s.kind) && !state.hidden.has(s.name));
    const limits = chart.series.filter((s) => s.kind === "limit" && !state.hidden.has(s.name));
    const axis = (of) => ({
      nameTextStyle: { color: color("--soft") },
      axisLabel: { color: color("--soft"), hideOverlap: true, formatter: (v) => tick(v, of.scale) },
      axisLine: { lineStyle: { color: color("--soft") } },
      splitLine: { lineStyle: { color: color("--line") } },
      ...(of.scale === "log" ? { type: "log" } : { type: "value" }),
      ...(of.scale === "percent" ? { min: 0, max: 1 } : {}),
    });
    const x = { ...chart.x, scale: state.flip && flips(chart) === chart.x ? other(chart.x.scale) : chart.x.scale };
    const y = { ...chart.y, scale: state.flip && flips(chart) === chart.y ? other(chart.y.scale) : chart.y.scale };
    const yAxis = { ...axis(y), name: chart.y.label, nameTextStyle: { color: color("--soft"), align: "left" } };
    // Bars start below 1, so that a count of 1 is visible.
    if (bars && y.scale === "log") {
      yAxis.min = 0.5;
      yAxis.startValue = 0.5;
      yAxis.axisLabel.formatter = (v) => v < 1 ? "" : tick(v, y.scale);
    }
    const wordy = chart.categories.some((c) => c.length > 12);
    const xAxis = { ...axis(x), name: chart.x.label, nameLocation: "middle", nameGap: 28 };
    if (bars) {
      xAxis.type = "category";
      xAxis.data = chart.categories;
      xAxis.axisLabel = { color: color("--soft"), interval: wordy ? 0 : "auto", hideOverlap: !wordy, ...(wordy ? { width: Math.max(54, state.width / chart.categories.length - 30), overflow: "break", lineHeight: 15 } : {}) };
      xAxis.nameGap = wordy ? 62 : 28;
      delete xAxis.min;
      delete xAxis.max;
    }
    const published = state.hidden.has("published figure") ? [] : rules;
    // A limit must be visible even if all values are far below it.
    const spans = limits.flatMap((s) => s.data).filter((v) => y.scale !== "log" || v > 0);
    if (spans.length && y.scale !== "percent") {
      const [low, high] = [Math.min(...spans), Math.max(...spans)];
      yAxis.max = (of) => high > of.max ? high * 1.1 : null;
      if (y.scale === "log") {
        yAxis.min = (of) => low < of.min ? low / 1.1 : null;
        // An end that is no power of ten would be labelled over the label next to it.
        const isEnd = (v) => [high * 1.1, low / 1.1].some((end) => Math.abs(v / end - 1) < 1e-6);
        yAxis.axisLabel.formatter = (v) => isEnd(v) ? "" : tick(v, y.scale);
      }
    }
    const across = limits.map((s) => ({ yAxis: s.data[0], name: s.name, lineStyle: { color: tone(s.color), type: "dashed", width: 1.5 }, label: { formatter: s.name, color: color("--text"), position: "insideEndTop" } }));
    const series = shown.map((s, place) => {
      const index = chart.series.indexOf(s);
      const markLine = place === 0 && across.length ? { markLine: { silent: true, symbol: "none", animation: false, data: across } } : {};
      if (s.kind === "bars") {
        const marks = published.filter((r) => r.of === index).flatMap((r) => r.data
          .map((v, i) => v === null ? null : { coord: [i, v], symbol: "rect", symbolSize: [22, 4], itemStyle: { color: color("--text"), borderColor: color("--back"), borderWidth: 1.5 }, label: { show: false } })
          .filter(Boolean));
        // Of bars with a colour each, only one series has a value at each place.
        const own = s.colors ? { barGap: "-100%", label: { show: true, position: "top", color: color("--text"), formatter: (p) => p.value === null || p.value === undefined ? "" : number.format(p.value) } } : {};
        return { type: "bar", name: s.name, data: s.data, itemStyle: { color: tone(s.color) }, barMaxWidth: 60, markPoint: { data: marks, silent: true, animation: false }, ...own, ...markLine };
      }
      const data = s.data.filter((p) => (x.scale !== "log" || p[0] > 0) && (y.scale !== "log" || p[1] > 0));
      const look = s.look || {};
      const halo = look.sign === "halo";
      const sign = look.sign ? { symbol: symbols[look.sign] || "circle", symbolSize: halo ? 22 : 9, symbolRotate: look.sign === "triangle-down" ? 180 : 0 } : {};
      const at = { itemStyle: { color: tone(s.color), ...(halo ? { opacity: 0.35 } : {}) }, z: halo ? 1 : 2, ...markLine };
      if (look.dash === null) return { type: "scatter", name: s.name, data, ...sign, ...at };
      const type = look.dash ? look.dash.split(" ").map(Number) : s.dashed ? "dashed" : "solid";
      return { type: "line", name: s.name, data, step: s.kind === "step" ? "end" : false, showSymbol: Boolean(look.sign), ...sign, ...at, lineStyle: { color: tone(s.color), width: 2, type } };
    });
    return {
      animation: false,
      backgroundColor: "transparent",
      grid: { left: 12, right: 24, top: 34, bottom: 62 + (bars && xAxis.nameGap > 30 ? 34 : 0), containLabel: true },
      tooltip: {
        trigger: series.some((s) => s.type === "scatter") ? "item" : "axis", confine: true, backgroundColor: color("--card"), borderColor: color("--line"), textStyle: { color: color("--text"), fontSize: 13 },
        axisPointer: { type: bars ? "shadow" : "line" },
        order: "valueDesc",
        formatter: (given) => {
          const items = (Array.isArray(given) ? given : [given]).filter((item) => !bars || (item.value !== null && item.value !== undefined) || !chart.series.some((s) => s.colors));
          if (!items.length) return "";
          const head = bars ? escape(String(items[0].name)) : exact(items[0].value[0], x.scale);
          const lines = items.map((item) => {
            const value = bars ? item.value : item.value[1];
            const index = chart.series.findIndex((s) => s.name === item.seriesName);
            const rule = published.find((r) => r.of === index);
            const beside = rule && rule.data[item.dataIndex] !== null ? ` (published: ${exact(rule.data[item.dataIndex], y.scale)})` : "";
            return item.marker + escape(item.seriesName) + ": <b>" + (value === null || value === undefined || value === "-" ? "none" : exact(value, y.scale)) + "</b>" + beside;
          });
          return [`<b>${head}</b>`, ...lines].join("<br>");
        },
      },
      // The wheel scrolls the page; with Ctrl it zooms, as the slider does.
      dataZoom: [
        { type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseMove: "shift", moveOnMouseWheel: false, filterMode: "none" },
        { type: "slider", height: 16, bottom: 6, filterMode: "none", showDetail: false, borderColor: color("--line") },
      ],
      xAxis, yAxis, series,
    };
  }

  const other = (scale) => scale === "log" ? "linear" : "log";
  // The axis that can be switched to logarithmic: values where policies are compared, places where distributions are.
  const flips = (chart) => chart.categories.length || chart.series.some((s) => s.look) ? chart.y : chart.x;
  const symbols = {
    circle: "circle", halo: "circle", square: "rect", triangle: "triangle", "triangle-down": "triangle", diamond: "diamond",
    star: "path://M50 0L61 35L98 35L68 57L79 91L50 70L21 91L32 57L2 35L39 35Z", pentagon: "path://M50 0L98 35L79 91L21 91L2 35Z",
    hexagon: "path://M50 0L93 25L93 75L50 100L7 75L7 25Z", cross: "path://M0 12L12 0L50 38L88 0L100 12L62 50L100 88L88 100L50 62L12 100L0 88L38 50Z",
    plus: "path://M38 0H62V38H100V62H62V100H38V62H0V38H38Z",
  };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  // On a dark page, colours too dark to be seen are mixed with white.
  const tone = (color) => {
    if (!isDark()) return color;
    const parts = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
    const light = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    if (light >= 95) return color;
    return "#" + parts.map((v) => Math.round(v + (255 - v) * 0.45).toString(16).padStart(2, "0")).join("");
  };

  // Colours of the legend, as the charts show them in the theme.
  const paint = () => document.querySelectorAll("button i").forEach((swatch) => {
    swatch.style.background = swatch.dataset.color ? tone(swatch.dataset.color) : "var(--text)";
  });

  // A legend of buttons: each shows or hides its series. Choices for the whole page hold for all charts.
  function toggles(parent, all, hidden, draw) {
    for (const s of all) {
      const button = add(parent, "button");
      button.type = "button";
      const say = () => button.setAttribute("aria-pressed", String(!hidden.has(s.name)));
      say();
      add(button, "i").dataset.color = s.kind === "rules" ? "" : s.color;
      button.append(s.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(s.name)) hidden.add(s.name);
        say();
        draw();
      });
    }
    paint();
  }

  // The first series of each name.
  const unlike = (all) => {
    const first = new Map();
    for (const s of all) if (s.name && !first.has(s.name)) first.set(s.name, s);
    return [...first.values()];
  };

  function toolbar(figure, state, draw) {
    const tools = figure.querySelector(".tools");
    tools.replaceChildren();
    const chart = state.chart;
    const names = unlike(chart.series);
    if (!state.shared && names.length > 1) toggles(tools, names, state.hidden, draw);
    const axis = flips(chart);
    if (axis.scale !== "percent") {
      const button = add(tools, "button");
      button.type = "button";
      const say = () => button.textContent = (state.flip ? other(axis.scale) : axis.scale) === "log" ? "Log axis: make linear" : "Linear axis: make log";
      say();
      button.addEventListener("click", () => { state.flip = !state.flip; say(); draw(); });
    }
    const reset = add(tools, "button", "Whole range");
    reset.type = "button";
    reset.addEventListener("click", () => state.plot.dispatchAction({ type: "dataZoom", start: 0, end: 100 }));
  }

  // The values as a table, built when it is opened.
  function values(chart, details) {
    details.querySelector(".scroll")?.remove();
    const box = add(details, "div");
    box.className = "scroll";
    box.tabIndex = 0;
    const table = add(box, "table");
    const head = add(add(table, "thead"), "tr");
    const body = add(table, "tbody");
    const row = (cells) => { const tr = add(body, "tr"); for (const cell of cells) add(tr, "td", cell); };
    if (chart.categories.length) {
      const columns = chart.series.filter((s) => s.kind !== "limit");
      for (const cell of ["", ...columns.map((s) => s.kind === "rules" ? s.name + ", " + chart.series[s.of].name : s.name)]) add(head, "th", cell);
      chart.categories.forEach((name, i) => row([name, ...columns.map((s) => s.data[i] === null || s.data[i] === undefined ? "" : exact(s.data[i], chart.y.scale))]));
    } else {
      for (const cell of ["", chart.x.label, chart.y.label]) add(head, "th", cell);
      for (const s of chart.series) for (const [a, b] of s.kind === "limit" ? [[NaN, s.data[0]]] : s.data) row([s.name, Number.isNaN(a) ? "" : exact(a, chart.x.scale), exact(b, chart.y.scale)]);
    }
  }

  // Choices for the whole page: a list for each name that has several.
  const options = new Map();
  for (const place of places) for (const variant of place.variants) for (const [name, value] of Object.entries(variant.choices)) {
    if (!options.has(name)) options.set(name, []);
    if (!options.get(name).includes(value)) options.get(name).push(value);
  }
  const chosen = {};
  for (const [name, all] of options) chosen[name] = name === "percentile" && all.includes("P90") ? "P90" : all[all.length - 1];
  const paged = options.size > 0;
  const hidden = new Set();
  const best = (place) => {
    const fit = (variant) => Object.entries(variant.choices).filter(([name, value]) => chosen[name] !== value).length;
    return place.variants.reduce((a, b) => fit(b) < fit(a) ? b : a);
  };

  const AT_ONCE = 6;
  let drawn = 0;
  const redraw = [];
  const again = [];
  const start = (place) => {
    const figure = document.getElementById(place.name);
    const box = figure.querySelector(".plot");
    const details = figure.querySelector("details");
    const empty = (chart) => !chart.series.some((s) => s.kind !== "limit" && s.data.some((v) => v !== null));
    const state = { hidden: paged ? hidden : new Set(), shared: paged, flip: false, width: box.clientWidth, plot: null, chart: best(place) };
    details.addEventListener("toggle", () => details.open && values(state.chart, details));
    if (place.variants.every(empty)) {
      box.textContent = "no data";
      box.style.height = "auto";
      drawn += 1;
      return;
    }
    state.plot = echarts.init(box);
    const draw = () => state.plot.setOption(option(state.chart, state), { replaceMerge: ["series", "xAxis", "yAxis"] });
    const choose = () => {
      state.chart = best(place);
      figure.querySelector("h3").textContent = state.chart.title;
      figure.classList.toggle("unfit", Object.entries(state.chart.choices).some(([name, value]) => chosen[name] !== value));
      box.setAttribute("aria-label", `${state.chart.title}: ${state.chart.y.label} by ${state.chart.x.label}`);
      toolbar(figure, state, draw);
      if (details.open) values(state.chart, details);
      draw();
    };
    choose();
    redraw.push(draw);
    again.push(choose);
    new ResizeObserver(() => {
      if (box.clientWidth === state.width) return;
      state.width = box.clientWidth;
      state.plot.resize();
      draw();
    }).observe(box);
    drawn += 1;
  };
  // What is seen first is drawn first; the others follow while the page can already be read.
  places.slice(0, AT_ONCE).forEach(start);
  const rest = places.slice(AT_ONCE);
  const follow = () => {
    const place = rest.shift();
    if (place) start(place);
    if (rest.length) setTimeout(follow);
    else root.dataset.ready = String(drawn);
  };
  const all = () => { paint(); redraw.forEach((draw) => draw()); };
  dark.addEventListener("change", all);

  if (paged) {
    const bar = document.getElementById("choices");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "What the charts show");
    for (const [name, values] of options) {
      if (values.length < 2) continue;
      const label = add(bar, "label", name + " ");
      const select = add(label, "select");
      select.id = "choose-" + name;
      for (const value of values) add(select, "option", value).selected = value === chosen[name];
      select.addEventListener("change", () => { chosen[name] = select.value; again.forEach((choose) => choose()); });
    }
    const names = unlike(places.flatMap((place) => place.variants).flatMap((variant) => variant.series));
    const group = add(bar, "div");
    group.id = "policies";
    toggles(group, names, hidden, all);
  }

  const theme = add(document.getElementById("theme"), "button");
  theme.type = "button";
  const say = () => theme.textContent = isDark() ? "Light theme" : "Dark theme";
  say();
  dark.addEventListener("change", say);
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; say(); all(); });

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const key = (row) => Number(row.cells[column].dataset.v);
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const order = key(a) - key(b);
          return sign * (Number.isNaN(order) ? a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true }) : order);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }
  if (rest.length) setTimeout(follow);
  else root.dataset.ready = String(drawn);
})();
