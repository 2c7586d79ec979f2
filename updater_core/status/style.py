"""The look of the status page: one style sheet, light and dark, wide and narrow. Pure.

Colours keep a contrast of at least 4.5:1 for text (https://www.w3.org/TR/WCAG22/#contrast-minimum); none of them says
anything that a word does not say too. On a narrow screen each row of a table becomes a card.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b2430; --soft: #55606e; --line: #d8dde4; --link: #0b57c4;
  --ok: #11693a; --ok-bg: #e3f5ea; --waiting: #1d55a5; --waiting-bg: #e5eefb; --look: #7a4a00; --look-bg: #fdf0d5;
  --unknown: #5b3a86; --unknown-bg: #f0e8fa; --trouble: #a3142a; --trouble-bg: #fde7ea;
  --off: #55606e; --off-bg: #eceff3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b2129; --text: #e6eaf0; --soft: #a7b1be; --line: #343c48; --link: #8ab8ff;
    --ok: #7fdba6; --ok-bg: #12321f; --waiting: #9cc3ff; --waiting-bg: #152b4b; --look: #f4c66a; --look-bg: #3a2a08;
    --unknown: #cfb1f5; --unknown-bg: #2e2044; --trouble: #ff9dab; --trouble-bg: #471420;
    --off: #a7b1be; --off-bg: #272e38;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 92rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; padding-top: 1.25rem; }
header p { margin: 0; color: var(--soft); }
h1 { font-size: 1.15rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .2rem 0; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline-offset: 2px; }
small { color: var(--soft); font-size: .85rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
.verdict { margin: 1rem 0; padding: 1rem 1.25rem; border-radius: .6rem; border-left: .5rem solid; }
.verdict h2 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
.verdict p { color: var(--text); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; margin: 0; }
.facts div, .note { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.notes { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
.note { border-left: .4rem solid; border-left-color: currentColor; }
.note > * { color: var(--text); overflow-wrap: anywhere; }
.note h3 { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
.ok { color: var(--ok); } .waiting { color: var(--waiting); } .look { color: var(--look); }
.unknown { color: var(--unknown); } .trouble { color: var(--trouble); } .off { color: var(--off); }
.verdict.ok, .pill.ok { background: var(--ok-bg); } .verdict.waiting, .pill.waiting { background: var(--waiting-bg); }
.verdict.look, .pill.look { background: var(--look-bg); }
.verdict.unknown, .pill.unknown { background: var(--unknown-bg); }
.verdict.trouble, .pill.trouble { background: var(--trouble-bg); }
.verdict.off, .pill.off { background: var(--off-bg); }
.pill { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; font-size: .9rem; font-weight: 600; }
.pill { white-space: nowrap; }
.table { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .6rem; color: var(--soft); font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .55rem .6rem; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .85rem; font-weight: 600; white-space: nowrap; }
tbody th { overflow-wrap: anywhere; min-width: 6rem; }
td { min-width: 5rem; overflow-wrap: anywhere; }
th time, td time, td.image small { white-space: nowrap; }
td.words { min-width: 14rem; }
th small, td small { font-size: .8rem; font-weight: 400; }
th small, td small, dd small { display: block; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; overflow-wrap: anywhere; }
summary { color: var(--link); font-size: .85rem; cursor: pointer; padding: .3rem 0; white-space: nowrap; }
details p { color: var(--soft); font-size: .85rem; margin: .4rem 0 0; }
.steps { list-style: none; margin: 0; padding: 0; font-size: .85rem; }
.steps li { display: flex; justify-content: space-between; gap: .75rem; white-space: nowrap; }
.steps li { width: 8.5rem; }
footer { color: var(--soft); padding-top: 2rem; padding-bottom: 2rem; font-size: .9rem; }
footer a, header a { display: inline-block; padding: .35rem 0; margin-right: 1rem; }
@media (max-width: 46rem) {
  header, main, footer { padding-left: .75rem; padding-right: .75rem; }
  .table { background: none; border: 0; overflow-x: visible; }
  table, caption, tbody, tr, th, td { display: block; }
  caption { padding: 0 0 .5rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
  tr { padding: .6rem 0; margin-bottom: .6rem; }
  th, td { border: 0; padding: .15rem 1rem; }
  tbody th { font-size: 1.05rem; }
  td { display: grid; grid-template-columns: 6.5rem 1fr; gap: .25rem .5rem; }
  td::before { content: attr(data-label); color: var(--soft); font-size: .85rem; }
  td > div { min-width: 0; }
  td.none { display: none; }
}
@media print { .skip, header a, footer { display: none; } body { background: none; } }
"""

# What a Content-Security-Policy names to let this style, and no other, in (https://www.w3.org/TR/CSP3/#grammardef-hash-source).
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
