#include "train/report_style.hpp"

namespace hpdlf::train {

std::string_view report_style() {
  return R"css(
:root { color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --text: #1b2330; --soft: #5c6675; --line: #e2e6ec; --lane: #eef1f5;
  --accent: #2563eb; --shadow: 0 1px 2px rgba(16, 24, 40, .06), 0 1px 6px rgba(16, 24, 40, .04); }
@media (prefers-color-scheme: dark) { :root {
  --page: #0f141b; --card: #181f29; --text: #e5eaf1; --soft: #9aa6b6; --line: #2a3442; --lane: #222b37;
  --accent: #60a5fa; --shadow: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 24px 48px; }
header { margin-bottom: 20px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 36px 0 12px; font-weight: 620; }
header p, .note { color: var(--soft); margin: 0; }
.note { font-size: 13.5px; margin: -6px 0 12px; }
.card, figure, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; box-shadow: var(--shadow); }
.card { padding: 6px 18px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 14px; }
.tile { padding: 14px 18px; }
.tile .name { color: var(--soft); font-size: 13px; }
.tile .value { font-size: 28px; font-weight: 640; line-height: 1.25; letter-spacing: -.015em; font-variant-numeric: tabular-nums; }
.tile .more { color: var(--soft); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 14px; }
figure { margin: 0; padding: 14px 16px 8px; }
figure.wide { margin-top: 14px; overflow-x: auto; }
figure.wide svg { min-width: 700px; }
figcaption { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; font-weight: 600; margin-bottom: 6px; }
.charts figcaption { flex-direction: column; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px; font-weight: 400; color: var(--soft); }
.legend span { display: inline-flex; align-items: center; gap: 6px; white-space: nowrap; }
.legend i { display: inline-block; width: 16px; height: 3px; border-radius: 2px; }
.legend i.faint-key { opacity: .4; height: 2px; }
.legend i.box { width: 11px; height: 11px; border-radius: 3px; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); } svg .lane { fill: var(--lane); }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .faint { fill: none; stroke-width: 1; stroke-opacity: .38; stroke-linejoin: round; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
tbody tr.total td { font-weight: 640; border-top: 2px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td:last-child, th:last-child { padding-right: 0; }
.facts th { width: 190px; text-align: left; vertical-align: top; font-size: 14px; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.bar { display: flex; height: 10px; min-width: 130px; border-radius: 5px; overflow: hidden; background: var(--lane); }
.bar i { display: block; height: 100%; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px; }
.slices { padding: 14px 16px 16px; margin-bottom: 14px; }
.planes { display: flex; flex-wrap: wrap; gap: 16px 26px; }
.plane { min-width: 0; }
.plane p { margin: 0 0 5px; font-size: 13px; color: var(--soft); }
.shots { display: flex; gap: 6px; }
.shots div { flex: 0 1 calc(var(--wide) * 1px); min-width: 0; background: #000; border-radius: 6px; overflow: hidden; }
.shots img { display: block; width: 100%; height: auto; }
.shots span { display: block; color: #cbd3de; background: #10151c; font-size: 12.5px; padding: 3px 8px; }
footer { margin-top: 32px; color: var(--soft); font-size: 13px; }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --soft: #444; --line: #ccc; --lane: #eee; --shadow: none; }
  body { font-size: 11.5px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 22px; } .tile, figure, tr, .plane { break-inside: avoid; }
  .shots div { flex-basis: calc(var(--wide) * .6px); } th, td { padding: 3px 8px; }
  .charts { grid-template-columns: 1fr 1fr; } .tiles { grid-template-columns: repeat(4, 1fr); }
  figure.wide svg { min-width: 0; }
}
)css";
}

}  // namespace hpdlf::train
