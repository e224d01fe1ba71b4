"""What it costs to forward: from a full spool to S3, over zlib alone; and beside Postgres."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

from measure import HERE, WAIT_SECONDS, peak_rss_mib, poll

ZLIB = """
import sys, time, zlib
begun, used = time.monotonic(), time.process_time()
packer = zlib.compressobj(1, zlib.DEFLATED, 31)
with open(sys.argv[1], "rb", buffering=0) as content:
    while piece := content.read(1 << 18):
        packer.compress(piece)
packer.flush()
print(time.monotonic() - begun, time.process_time() - used)
"""


class Sinks:
    """The server, as a child; when the last PUT came."""

    def __init__(self, content=None):
        command = [sys.executable, os.path.join(HERE, "sink_server.py"), *([content] if content else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.last = 0.0
        threading.Thread(target=self.watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def watch(self):
        for line in self.process.stdout:
            self.last = float(line.split()[0])

    def s3(self):
        return {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "an-example",
                "AWS_BUCKET": "trail", "S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
                "FLYTRAIL_S3_GATHER_SECONDS": "1"}

    def datadog(self):
        return {"DATADOG_API_KEY": "an-example", "FLYTRAIL_DATADOG_URL": f"http://127.0.0.1:{self.port}"}


class Forwarding:
    """A spool with all records, which Postgres has, to begin from again and again."""

    def __init__(self, bench):
        self.bench = bench
        self.env = bench.environment(nats=False)
        self.nothing = os.path.join(bench.folder, "nothing.ndjson")
        self.content = os.path.join(bench.folder, "content.ndjson")
        open(self.nothing, "wb").close()
        bench.empty_trail()
        with bench.flytrail(self.env, bench.lines, keep=True) as process:
            if process.wait(WAIT_SECONDS) != 0:
                raise SystemExit(f"bench: flytrail run failed: see {process.log}")
        with Sinks(self.content) as sinks:
            self.forward(sinks)
        with open(self.content, "rb") as content:
            count = sum(piece.count(b"\n") for piece in iter(lambda: content.read(1 << 20), b""))
        if count != bench.records:
            raise SystemExit(f"bench: {count} of {bench.records} lines were forwarded")

    def forward(self, sinks):
        """All of the spool, by a process that reads nothing else: seconds, and its CPU seconds."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.env["FLYTRAIL_SPOOL_DIR"], "s3.cursor"))
        before = os.times()
        begun = time.monotonic()
        with self.bench.flytrail({**self.env, **sinks.s3()}, self.nothing, keep=True) as process:
            if process.wait(WAIT_SECONDS) != 0:
                raise SystemExit(f"bench: flytrail run failed: see {process.log}")
        took = time.monotonic() - begun
        after = os.times()
        return took, after.children_user + after.children_system - before.children_user - before.children_system

    def round(self):
        """Of zlib's rate and CPU: records/s, and own CPU."""
        with Sinks() as sinks:
            took, used = self.forward(sinks)
        alone = subprocess.run([sys.executable, "-c", ZLIB, self.content], capture_output=True, text=True, check=True)
        alone_took, alone_used = map(float, alone.stdout.split())
        return alone_took / took, used / alone_used, self.bench.records / took

    def close(self):
        shutil.rmtree(self.env["FLYTRAIL_SPOOL_DIR"], ignore_errors=True)
        os.unlink(self.content)


def records_delivered(env):
    with urllib.request.urlopen(f"http://{env['FLYTRAIL_LISTEN']}/metrics", timeout=5) as page:
        found = re.search(r'^flytrail_sink_records_total\{sink="s3"\} (\d+)$', page.read().decode(), re.MULTILINE)
    return int(found.group(1))


def together_rate(bench, publish_rate):
    """Rows/s from the first publish until both Postgres and S3 have all; the last second or so S3's
    delivery waits for more."""
    bench.empty_trail()
    with Sinks() as sinks:
        env = {**bench.environment(), **sinks.s3()}
        with bench.flytrail(env) as process:
            bench.await_connected(process)
            begun = time.time()
            publisher = bench.publish(rate=publish_rate)
            ended = bench.await_delivered()
            publisher.wait()
            count = bench.stored()
            poll(lambda: records_delivered(env) >= count, "S3 to have all")
            return count / (max(ended, sinks.last) - begun)


def stalled_rss(bench, seconds, rate):
    """Peak RSS with all sinks on, and an S3 that answers nothing."""
    bench.empty_trail()
    with Sinks() as s3, Sinks() as datadog, \
            bench.flytrail({**bench.environment(), **s3.s3(), **datadog.datadog()}) as process:
        bench.await_connected(process)
        bench.publish(rate=rate, count=rate).wait()
        poll(lambda: s3.last > 0, "a PUT")
        s3.process.send_signal(signal.SIGSTOP)
        try:
            bench.publish(rate=rate, count=rate * seconds).wait()
            return peak_rss_mib(process.pid)
        finally:
            s3.process.send_signal(signal.SIGCONT)
