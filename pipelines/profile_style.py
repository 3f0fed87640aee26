"""How the page of a profile looks."""

_LIGHT = """
--page:#f6f6f3;--card:#fdfdfc;--ink:#16171a;--soft:#5c5f66;--line:#e3e3de;--base:#b9bab4;--track:#e9e9e4;
--core:#2a78d6;--host:#8b8f98;--host2:#a9adb5;--host3:#6b6f78;--good:#15803d;--bad:#c2312f;
--hue0:#1baf7a;--hue1:#d98a00;--hue2:#6d5bd0;--hue3:#e0569a;--hue4:#e2622a;--hue5:#0f9bb3;--hue6:#7c9a12
"""
_DARK = """
--page:#131416;--card:#1b1c1f;--ink:#f0f0ee;--soft:#a3a6ad;--line:#2c2e32;--base:#55585f;--track:#2a2c30;
--core:#4a94ee;--host:#7d828c;--host2:#5f646d;--host3:#9a9fa8;--good:#3fbf6f;--bad:#f0625f;
--hue0:#24b985;--hue1:#d9971f;--hue2:#9488ee;--hue3:#e571ab;--hue4:#ec7c48;--hue5:#2fb4cb;--hue6:#9bb83a
"""
_PAGE = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1020px;margin:0 auto;padding:36px 24px 64px}
header,section,.tile{background:var(--card);border:1px solid var(--line);border-radius:14px}
header,section{padding:24px 28px;margin-bottom:18px}
.eyebrow{margin:0 0 6px;color:var(--soft);font-size:13px;letter-spacing:.02em}
h1{margin:0 0 6px;font-size:25px;line-height:1.3;font-weight:600;text-wrap:balance}
h1.yes b{color:var(--good)}h1.no b{color:var(--bad)}
h2{margin:0;font-size:18px;font-weight:600}h3{margin:14px 0 4px;font-size:13px;font-weight:600;color:var(--soft)}
header p,section p{margin:2px 0 14px;color:var(--soft);max-width:76ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:12px;margin-bottom:18px}
.tile{padding:12px 14px;display:flex;flex-direction:column}
.tile span{color:var(--soft);font-size:13px}.tile b{font-size:19px;font-weight:600;margin:2px 0;white-space:nowrap}
.tile small{color:var(--soft);font-size:12px;line-height:1.35}
.chart,.table{overflow-x:auto}
svg{display:block;width:100%;min-width:680px;height:auto;overflow:visible}
svg text{fill:var(--ink);font-size:12.5px;font-variant-numeric:tabular-nums}
svg text.axis{fill:var(--soft);font-size:11.5px}svg text.strong{font-weight:600}
.grid{stroke:var(--line)}.base{stroke:var(--base)}.mark{stroke:var(--ink);stroke-width:1.5}
.dashed{stroke-dasharray:4 4}.drop{stroke:var(--base);stroke-width:1.5;stroke-dasharray:2 3}
.roof{fill:none;stroke:var(--soft);stroke-width:1.5}.ring{fill:none;stroke:var(--ink);stroke-width:1.5}
.p99{fill:var(--ink);stroke:var(--card);stroke-width:1.5}.track{fill:var(--track)}.ink{fill:var(--ink)}
.faint{opacity:.32}.hill{opacity:.78}.area{opacity:.13}
.stroke{fill:none!important;stroke-width:2.5;stroke-linejoin:round}.point{stroke:var(--card);stroke-width:2}
rect:hover,circle:hover,path.hill:hover{filter:brightness(1.15)}
details{margin-top:14px}summary{cursor:pointer;color:var(--soft);font-size:13px}
table{border-collapse:collapse;margin-top:10px;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:5px 12px 5px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
footer{color:var(--soft);font-size:12.5px;padding:4px;overflow-wrap:anywhere}
@media(max-width:640px){main{padding:14px 10px}header,section{padding:16px}h1{font-size:20px}}
@media print{body{background:none}header,section,.tile{break-inside:avoid}}
"""
_NAMES = ("core", "host", "host2", "host3", "good", "bad", *(f"hue{i}" for i in range(7)))
_FILLS = "".join(f".{name}{{fill:var(--{name})}}.{name}.stroke{{stroke:var(--{name})}}" for name in _NAMES)
STYLE = f":root{{{_LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}{_PAGE}{_FILLS}"
"""Everything in it: colours for light and dark, and no file from elsewhere."""
