"""`flytrail replay` of what claims to be another line."""

import datetime
import hashlib
import os
import struct
import sys
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import test_replay  # noqa: E402
from test_replay import text  # noqa: E402


def line_id(app, machine_id, occurred_at, message):
    """By include/model/id.h, of what its row keeps all of."""
    at = datetime.datetime.fromisoformat(occurred_at[:26] + "+00:00") - datetime.datetime.fromtimestamp(
        0, datetime.timezone.utc)
    nanoseconds = (at.days * 86400 + at.seconds) * 10**9 + at.microseconds * 1000 + int(occurred_at[26:29])
    parts = b"".join(struct.pack(">I", len(part)) + part for part in (
        app.encode(), machine_id.encode(), message.encode()))
    digest = bytearray(hashlib.sha256(b"flytrail line 1\n" + parts + struct.pack(">q", nanoseconds)).digest()[:16])
    digest[6] = digest[6] & 0x0f | 0x80
    digest[8] = digest[8] & 0x1f | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


class Ids(test_replay.ReplayCase):
    def test_who_claims_another_lines_id(self):
        at = text(self.hour, 5)
        own = {"occurred_at": at, "message": "it ended"}
        own["id"] = line_id("web-1", "0e286551c30586", at, "it ended")
        line, event = self.line(**own), self.event(**own)
        event["event_id"] = event.pop("id")
        event["machine_id"] = line["machine_id"]
        for change in ({"message": "another"}, {"app": "web-2"}, {"machine_id": None},
                       {"occurred_at": text(self.hour, 6)}):
            with self.subTest(change):
                key = self.put([line, {**line, **change}])
                self.assert_refused("REFUSED .*: 1 of its lines have an id that is not their own")
                self.bucket.ask("DELETE", key)
                key = self.put([{**event, **change}], kind="security")
                self.assert_refused("1 of its lines have an id that is not their own")
                self.bucket.ask("DELETE", key)
        twice = test_replay.ndjson([line])[:-2] + b',"message":"another"}\n'
        self.put([], content=twice)
        self.assert_refused("1 of its lines have an id that is not their own")
        self.put([line])
        self.put([event], kind="security")
        status, out, error = self.replay()
        self.assertEqual((status, error), (0, ""))
        self.assertIn("2 rows added", out)


if __name__ == "__main__":
    unittest.main()
