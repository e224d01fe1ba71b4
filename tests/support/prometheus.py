"""A private Prometheus, Debian's: it scrapes pages, and answers what a dashboard or an alert asks.

    with prometheus.Server({"flytrail": (f"127.0.0.1:{ft.port}", {"app": "flytrail"})}) as server:
        server.query("flytrail_spool_full")         # [(labels, value)], NaN among the values
"""

import json
import os
import subprocess
import urllib.parse
import urllib.request

import lab

SCRAPE_SECONDS = 1
QUERY_SECONDS = 10


class Server(lab.Server):
    """pages: by job, where it is scraped and the labels it gets; those that it has itself win.
    rules: files of alerts, which are looked at as often as pages are scraped."""

    def __init__(self, pages, rules=()):
        super().__init__("flytrail-prometheus-")
        self.pages = pages
        self.rule_files = list(rules)

    def start(self):
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as out:  # JSON is YAML
            json.dump({
                "global": {"scrape_interval": f"{SCRAPE_SECONDS}s",
                           "evaluation_interval": f"{SCRAPE_SECONDS}s"},
                "rule_files": self.rule_files,
                "scrape_configs": [
                    {"job_name": job, "honor_labels": True,
                     "static_configs": [{"targets": [target], "labels": labels}]}
                    for job, (target, labels) in self.pages.items()],
            }, out)
        self.launch(["setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={path}",
                     f"--storage.tsdb.path={self.folder}/data",
                     f"--web.listen-address=127.0.0.1:{self.port}"])
        self.await_ready(self.accepts)
        return self

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=QUERY_SECONDS) as answer:
            return answer.read()

    def accepts(self):
        try:
            return self.ask("/-/ready") != b""
        except OSError:
            return False

    def query(self, expression):
        """Raises OSError where it is none."""
        answer = json.loads(self.ask("/api/v1/query", query=expression))
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def rules(self):
        """Its groups of rules, each with its state."""
        return json.loads(self.ask("/api/v1/rules"))["data"]["groups"]

    def await_evaluation(self):
        """Until each rule was asked once more."""
        def newest():
            return [group["lastEvaluation"] for group in self.rules()]

        before = newest()
        lab.wait_for(lambda: all(now > then for now, then in zip(newest(), before, strict=True)), 30,
                     "an evaluation")


def promtool(*words, text=None):
    """The exit status, and all it printed."""
    done = subprocess.run(["promtool", *words], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=lab.ENDED_SECONDS, check=False)
    return done.returncode, done.stdout
