"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
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

  function option(chart, state) {
    const css = getComputedStyle(document.documentElement);
    const color = (name) => css.getPropertyValue(name).trim();
    const bars = chart.categories.length > 0;
    const rules = chart.series.filter((s) => s.kind === "rules");
    const shown = chart.series.filter((s) => s.kind !== "rules" && !state.hidden.has(s.name));
    const axis = (of) => ({
      nameTextStyle: { color: color("--soft") },
      axisLabel: { color: color("--soft"), hideOverlap: true, formatter: (v) => tick(v, of.scale) },
      axisLine: { lineStyle: { color: color("--soft") } },
      splitLine: { lineStyle: { color: color("--line") } },
      ...(of.scale === "log" ? { type: "log" } : { type: "value" }),
      ...(of.scale === "percent" ? { min: 0, max: 1 } : {}),
    });
    const x = { ...chart.x, scale: !bars && state.flip ? other(chart.x.scale) : chart.x.scale };
    const y = { ...chart.y, scale: bars && state.flip ? other(chart.y.scale) : chart.y.scale };
    const yAxis = { ...axis(y), name: chart.y.label, nameTextStyle: { color: color("--soft"), align: "left" } };
    // A count of 1 has to be seen, so bars begin below it.
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
    const series = shown.map((s) => {
      const index = chart.series.indexOf(s);
      if (s.kind === "bars") {
        const marks = published.filter((r) => r.of === index).flatMap((r) => r.data
          .map((v, i) => v === null ? null : { coord: [i, v], symbol: "rect", symbolSize: [22, 4], itemStyle: { color: color("--text"), borderColor: color("--back"), borderWidth: 1.5 }, label: { show: false } })
          .filter(Boolean));
        return { type: "bar", name: s.name, data: s.data, itemStyle: { color: s.color }, barMaxWidth: 60, markPoint: { data: marks, silent: true, animation: false } };
      }
      const data = x.scale === "log" ? s.data.filter((p) => p[0] > 0) : s.data;
      return { type: "line", name: s.name, data, step: s.kind === "step" ? "end" : false, showSymbol: false, itemStyle: { color: s.color }, lineStyle: { color: s.color, width: 2, type: s.dashed ? "dashed" : "solid" } };
    });
    return {
      animation: false,
      backgroundColor: "transparent",
      grid: { left: 12, right: 24, top: 34, bottom: 62 + (bars && xAxis.nameGap > 30 ? 34 : 0), containLabel: true },
      tooltip: {
        trigger: "axis", confine: true, backgroundColor: color("--card"), borderColor: color("--line"), textStyle: { color: color("--text"), fontSize: 13 },
        axisPointer: { type: bars ? "shadow" : "line" },
        formatter: (items) => {
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
      // The wheel scrolls the page; with Ctrl it zooms, as does the slider.
      dataZoom: [
        { type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseMove: "shift", moveOnMouseWheel: false, filterMode: "none" },
        { type: "slider", height: 16, bottom: 6, filterMode: "none", showDetail: false, borderColor: color("--line") },
      ],
      xAxis, yAxis, series,
    };
  }

  const other = (scale) => scale === "log" ? "linear" : "log";

  function toolbar(chart, figure, state, draw) {
    const tools = figure.querySelector(".tools");
    const names = [...new Set(chart.series.map((s) => s.name))];
    for (const name of names.length > 1 ? names : []) {
      const button = add(tools, "button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      add(button, "i").style.background = chart.series.find((s) => s.name === name).kind === "rules" ? "var(--text)" : chart.series.find((s) => s.name === name).color;
      button.append(name);
      button.addEventListener("click", () => {
        if (!state.hidden.delete(name)) state.hidden.add(name);
        button.setAttribute("aria-pressed", String(!state.hidden.has(name)));
        draw();
      });
    }
    const axis = chart.categories.length ? chart.y : chart.x;
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

  // The values for those who do not see a canvas, made when asked for.
  function values(chart, details) {
    const box = add(details, "div");
    box.className = "scroll";
    box.tabIndex = 0;
    const table = add(box, "table");
    const head = add(add(table, "thead"), "tr");
    const body = add(table, "tbody");
    const row = (cells) => { const tr = add(body, "tr"); for (const cell of cells) add(tr, "td", cell); };
    if (chart.categories.length) {
      for (const cell of ["", ...chart.series.map((s) => s.kind === "rules" ? s.name + ", " + chart.series[s.of].name : s.name)]) add(head, "th", cell);
      chart.categories.forEach((name, i) => row([name, ...chart.series.map((s) => s.data[i] === null || s.data[i] === undefined ? "" : exact(s.data[i], chart.y.scale))]));
    } else {
      for (const cell of ["", chart.x.label, chart.y.label]) add(head, "th", cell);
      for (const s of chart.series) for (const [a, b] of s.data) row([s.name, exact(a, chart.x.scale), exact(b, chart.y.scale)]);
    }
  }

  let drawn = 0;
  const redraw = [];
  for (const chart of charts) {
    const figure = document.getElementById(chart.name);
    const box = figure.querySelector(".plot");
    const details = figure.querySelector("details");
    details.addEventListener("toggle", () => values(chart, details), { once: true });
    if (!chart.series.some((s) => s.data.some((v) => v !== null))) {
      box.textContent = "no data";
      box.style.height = "auto";
      drawn += 1;
      continue;
    }
    const state = { hidden: new Set(), flip: false, width: box.clientWidth, plot: echarts.init(box) };
    const draw = () => state.plot.setOption(option(chart, state), { replaceMerge: ["series", "xAxis", "yAxis"] });
    toolbar(chart, figure, state, draw);
    draw();
    redraw.push(draw);
    new ResizeObserver(() => {
      if (box.clientWidth === state.width) return;
      state.width = box.clientWidth;
      state.plot.resize();
      draw();
    }).observe(box);
    drawn += 1;
  }
  dark.addEventListener("change", () => redraw.forEach((draw) => draw()));

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
  document.documentElement.dataset.ready = String(drawn);
})();
