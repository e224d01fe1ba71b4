"""Fly's HTTP logs API as the live source, when it does not answer as it should."""

import time
import unittest

import test_http_logs

import fly_api
import lab

BURST = test_http_logs.BURST
ANSWER_SECONDS = 10  # HTTP_LOGS_SECONDS: so long it waits for an answer


class BadInput(test_http_logs.HttpCase):
    # What is put right by asking again.
    PASSING = (("html", {}), ("empty", {}), ("half", {}), ("truncated", {}), ("close", {}),
               ("big", {}), ("status", {"code": 500}), ("status", {"code": 503}),
               ("status", {"code": 401}), ("status", {"code": 403}), ("status", {"code": 429}),
               ("status", {"code": 429, "headers": ["Retry-After: 1"]}),
               ("same_page", {}), ("unsorted", {}), ("no_ids", {}), ("no_token", {}))

    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")

    def test_every_passing_fault_is_waited_out(self):
        ft = self.flytrail().start()
        self.add("web-1", 5, "before")
        self.await_lines("web-1", "before", 5)
        for n, (kind, options) in enumerate(self.PASSING):
            with self.subTest(kind=kind, **options):
                self.api.misbehave(kind, 1, app="web-1", **options)
                self.add("web-1", BURST if kind == "unsorted" else 7, f"fault{n}")
                self.await_lines("web-1", f"fault{n}", BURST if kind == "unsorted" else 7)
        self.assertEqual(self.world.count("NOT message LIKE '%line%'"), 0)
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.stop(), 0)

    def test_an_answer_that_hangs_or_drips_is_given_up(self):
        ft = self.flytrail().start()
        for kind in ("hang", "drip"):
            with self.subTest(kind=kind):
                self.api.misbehave(kind, 1, app="web-1")
                self.add("web-1", 3, kind)
                self.await_lines("web-1", kind, 3)
        self.assertEqual(ft.stop(), 0)

    def test_an_answer_that_hangs_does_not_hold_up_the_end(self):
        ft = self.flytrail().start()
        self.api.misbehave("hang", 1, app="web-1")
        lab.wait_for(lambda: not self.api.faults, what="a request that hangs")
        asked = max(request.at for request in list(self.api.requests) if "/web-1/logs" in request.target)
        self.assertEqual(ft.stop(), 0)
        self.assertLess(time.time() - asked, ANSWER_SECONDS)

    def test_times_in_the_future_do_not_hide_what_follows(self):
        ft = self.flytrail().start()
        self.api.misbehave("future", 1, app="web-1")
        self.add("web-1", 3, "shown as of next month")
        self.world.await_rows(1, "message LIKE 'shown as%'")
        self.add("web-1", 3, "later")
        self.await_lines("web-1", "later", 3)
        self.assertEqual(ft.stop(), 0)

    def test_a_page_without_end_holds_up_no_other_application(self):
        ft = self.flytrail().start()
        self.api.add_app("db")
        self.add("web-1", 1)
        self.await_lines("web-1", "numbered", 1)
        self.api.misbehave("endless", None, app="web-1")
        lab.wait_for(lambda: self.api.pages_asked("web-1") > 20, what="twenty pages")
        # It is not on the list that was read; a restart reads that again.
        self.assertEqual(ft.stop(), 0)
        ft.start()
        self.add("db", 5)
        self.await_lines("db", "numbered", 5)
        self.api.behave()
        self.add("web-1", 5, "after")
        self.await_lines("web-1", "after", 5)
        self.assertEqual(ft.stop(), 0)

    def test_more_lines_of_a_nanosecond_than_a_page_holds_are_on_record(self):
        ft = self.flytrail().start()
        ns = time.time_ns()
        self.add("web-1", 150, "tie", at=ns)
        self.add("web-1", 3, "after")
        self.await_lines("web-1", "after", 3)
        gap, = lab.wait_for(self.world.gaps, what="the gap")
        self.assertEqual(gap["reason"], "tie_cut")
        self.assertEqual(self.world.count("message LIKE 'tie%'"), 100)
        self.assertEqual(ft.stop(), 0)

    def test_a_redirect_takes_the_token_to_no_other_host(self):
        with fly_api.FlyApi(token=self.api.token) as other:
            other.add_app("web-1")
            ft = self.flytrail().start()
            # One after the other: failures in a row are waited for longer each time.
            for code in (301, 302, 307, 308):
                self.api.misbehave("redirect", 1, code=code,
                                   location=f"{other.url}/api/v1/apps/web-1/logs")
                self.add("web-1", 3, f"redirect{code}")
                self.await_lines("web-1", f"redirect{code}", 3)
            self.assertEqual(list(other.requests), [])
            self.assertEqual(ft.stop(), 0)

    def test_a_token_that_is_refused_is_told_and_tried_again(self):
        ft = self.flytrail().start()
        self.api.misbehave("status", None, code=401)
        why = lab.wait_for(lambda: [line["error"] for line in ft.events("source_disconnected")
                                    if "ACCESS_TOKEN" in line["error"]], 60, "the reason")
        self.assertNotIn(self.api.token, why[0])
        self.assertFalse(ft.health()[1]["source"]["ok"])
        self.api.behave()
        self.add("web-1", 3)
        self.await_lines("web-1", "numbered", 3, 90)
        lab.wait_for(lambda: ft.health()[1]["source"]["ok"], what="a source that is well")
        self.assertEqual(ft.stop(), 0)
        with open(ft.log_path, encoding="utf-8") as log:
            self.assertNotIn(self.api.token, log.read())

    def test_an_api_that_is_away_is_told_and_nothing_of_it_is_lost(self):
        ft = self.flytrail().start()
        self.api.stop()
        self.add("web-1", 5)
        why = lab.wait_for(lambda: ft.events("source_disconnected"), what="the reason")
        self.assertIn("FLYTRAIL_API_URL", why[-1]["error"])
        self.api.start()
        self.await_lines("web-1", "numbered", 5, 90)
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.stop(), 0)

    def test_a_certificate_that_nobody_signed_gets_no_token(self):
        with fly_api.FlyApi(tls=True) as api:
            api.add_app("web-1")
            ft = self.flytrail(api).start(wait=False)
            ft.await_event("source_disconnected")
            self.assertEqual(list(api.requests), [])
            self.assertEqual(ft.stop(), 0)


if __name__ == "__main__":
    unittest.main()
