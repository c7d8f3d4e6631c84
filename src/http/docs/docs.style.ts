/** The look of /docs; a string of its own, because the page's security policy names its digest. */
export const DOCS_STYLE = `
:root{color-scheme:light dark;--ink:#1c2126;--soft:#5b6570;--line:#dfe3e8;--ground:#fff;--raised:#f6f7f9;--mark:#0b5cad;
--get:#0f6e4f;--post:#0b5cad;--patch:#8a5a00;--put:#8a5a00;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5b1;--line:#2b323a;--ground:#14181c;--raised:#1c2228;
--mark:#79b8ff;--get:#6fd3a8;--post:#79b8ff;--patch:#e3b341;--put:#e3b341;--delete:#ff8f86}}
*{box-sizing:border-box}
html{scroll-padding-top:1.5rem}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
display:grid;grid-template-columns:17rem minmax(0,1fr)}
a{color:var(--mark);text-decoration:none}a:hover{text-decoration:underline}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:2rem 1.25rem;border-right:1px solid var(--line);font-size:.875rem}
nav strong{display:block;margin:1.25rem 0 .25rem}nav a{display:flex;gap:.5rem;align-items:baseline;color:var(--ink);padding:.125rem 0}
nav .brand{font-size:1.25rem;font-weight:700}
main{padding:2.5rem clamp(1.25rem,4vw,4rem) 6rem;max-width:64rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 1rem}h2{font-size:1.5rem;margin:3.5rem 0 0;padding-top:1rem}
h3{font-size:1.125rem;margin:0 0 .25rem}h4{font-size:.8125rem;color:var(--soft);margin:1.25rem 0 .25rem;font-weight:600}
p{margin:.25rem 0 .75rem;max-width:44rem}
code,.path{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
p code,td code{background:var(--raised);border-radius:4px;padding:.1em .3em}
section.route{border-top:1px solid var(--line);padding:1.75rem 0}
.verb{font:700 .75rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-transform:uppercase;min-width:3.4em;display:inline-block}
.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}.put{color:var(--put)}.delete{color:var(--delete)}
.call{display:flex;gap:.75rem;align-items:baseline;flex-wrap:wrap;background:var(--raised);border-radius:8px;padding:.5rem .875rem;margin:.5rem 0 .75rem;overflow-wrap:anywhere}
.scope{margin-left:auto;font-size:.8125rem;color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9375rem}
td{border-top:1px solid var(--line);padding:.5rem 1rem .5rem 0;vertical-align:top}tr:first-child td{border-top:0}
td:first-child{white-space:nowrap;width:13rem}.type{color:var(--soft);font-size:.875rem;display:block}
.need{color:var(--delete);font-size:.75rem;margin-left:.4rem}
@media (max-width:52rem){body{display:block}nav{position:static;height:auto;max-height:60vh;border-right:0;border-bottom:1px solid var(--line)}
main{padding-top:1.5rem}td:first-child{width:auto;white-space:normal}}
`;
