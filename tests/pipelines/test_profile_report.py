import copy
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from sensorimotor.pipelines.profile_report import html_report

CONTENDERS = [
    {
        "name": "runtime",
        "ms": {"p50": 0.4, "p99": 2.0},
        "times_ours": {"p50": 1.0, "ci95": [1.0, 1.0]},
        "why_not": None,
    },
    {
        "name": "eager torch",
        "ms": {"p50": 1.4, "p99": 8.0},
        "times_ours": {"p50": 3.5, "ci95": [3, 4]},
        "why_not": None,
    },
    {"name": "torch.compile", "ms": None, "times_ours": None, "why_not": "there is no compiler <here>"},
]
CHARTS = (
    "period",
    "typical",
    "slow",
    "how long each stage",
    "throughput",
    "arithmetic",
    "operators",
    "starting",
    "others",
)
MEASURE = """<script>
const charts = [...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  const outside = [...svg.querySelectorAll("text")].filter(text => {
    const one = text.getBoundingClientRect();
    return one.left < box.left - 2 || one.right > box.right + 2 || one.top < box.top - 4 || one.bottom > box.bottom + 4;
  }).map(text => text.textContent);
  const drawn = [...svg.querySelectorAll("rect,circle,path")].filter(one => {
    const size = one.getBoundingClientRect();
    return size.width > 0 || size.height > 0;
  }).length;
  return {label: svg.getAttribute("aria-label"), width: box.width, height: box.height, drawn, outside};
});
document.body.dataset.charts = JSON.stringify(charts);
</script></body>"""


@pytest.fixture(scope="module")
def report(profiled):
    return profiled.report | {"compare": CONTENDERS}


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open a page in a browser without a window: `browse(page, "--dump-dom")` gives its output and its messages."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed (Debian: chromium)")
    home = tmp_path_factory.mktemp("browser")

    def run(page, *options):
        call = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={home}"]
        call += ["--enable-logging=stderr", "--window-size=1060,4200", *options, page.as_uri()]
        done = subprocess.run(call, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done

    return run


def said_by_the_page(done):
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_every_chart_is_drawn_and_no_label_lies_outside_of_its_own(report, browse, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(html_report(report).replace("</body>", MEASURE))
    done = browse(page, "--dump-dom")
    assert said_by_the_page(done) == []
    charts = json.loads(unescape(re.search(r'data-charts="([^"]*)"', done.stdout)[1]))
    assert len(charts) == len(CHARTS)
    for chart, about in zip(charts, CHARTS, strict=True):
        assert about in chart["label"]
        assert chart["width"] > 600, about
        assert chart["height"] > 40, about
        assert chart["drawn"] >= 3, about
        assert chart["outside"] == [], about


@pytest.mark.parametrize(
    ("scheme", "paper", "core"),
    [("1", (0xF6, 0xF6, 0xF3), (0x2A, 0x78, 0xD6)), ("0", (0x13, 0x14, 0x16), (0x4A, 0x94, 0xEE))],
)
def test_it_is_there_to_be_seen_by_day_and_by_night(report, browse, tmp_path, scheme, paper, core):
    cv2 = pytest.importorskip("cv2")
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(html_report(report))
    done = browse(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    assert said_by_the_page(done) == []
    seen = cv2.imread(str(picture))[:, :, ::-1]

    def pixels_of(colour):
        return int((np.abs(seen.astype(int) - colour).max(2) <= 3).sum())

    assert pixels_of(paper) > 50_000
    assert pixels_of(core) > 2_000, "the core's bars"
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 50


class References(HTMLParser):
    """Whatever a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "xlink:href", "data")]


def test_everything_is_in_the_one_file(report):
    page, read = html_report(report), References()
    read.feed(page)
    assert read.found == ["data:,"], "an icon of nothing, so that none is asked for"
    assert not read.tags & {"script", "iframe", "img", "object", "embed"}
    assert not re.search(r"url\(|@import|https?://", page)
    assert len(page) < 300_000


def test_the_command_drew_the_page_of_what_it_printed(profiled):
    assert profiled.page.read_text() == html_report(profiled.report)


def test_names_are_shown_as_they_are_and_never_run(report):
    odd = copy.deepcopy(report)
    odd["policy"]["name"] = "<script>alert(1)</script>"
    read = References()
    read.feed(html_report(odd))
    assert "script" not in read.tags


def test_why_torch_could_not_be_compared_is_said(report):
    assert "torch.compile was not compared: there is no compiler &lt;here&gt;" in html_report(report)


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.update(throughput=None),
        lambda report: report["throughput"].update(batches=report["throughput"]["batches"][:1], knee=None),
        lambda report: report["budget"].update(holds=False, head_room=0.5, late=0.3, p99_ms=66.0),
        lambda report: report.update(compare=[CONTENDERS[2]]),
        lambda report: report.update(graphs=[one | {"flops": 0.0, "attained": None} for one in report["graphs"]]),
        lambda report: report.update(graphs=[one | {"p50_ms": None, "attained": None} for one in report["graphs"]]),
        lambda report: (
            report["stages"].update({"encode.mic": dict.fromkeys(report["stages"]["total"]) | {"n": 0}})
            or report["histograms"]["counts"].pop("encode.mic")
        ),
    ],
    ids=["no batches", "one batch", "too slow", "no torch", "no arithmetic", "never ran", "a stage that never ran"],
)
def test_what_is_not_there_is_left_out(report, change):
    changed = copy.deepcopy(report)
    change(changed)
    page = html_report(changed)
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower().replace("provenance", "")
    assert page.count("<svg") >= 6
