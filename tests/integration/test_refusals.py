"""Postgres refuses rows with codes that flytrail does not know: somebody's trigger raises."""

import json
import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

# The waits between attempts are seconds, and after many half a minute.
PATIENCE = 90
DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))  # so that no line is too old for its own time


class Refusals(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def refuse(self, table, condition):
        """A trigger that raises; a sequence counts how often, since those are not rolled back."""
        self.world.pg.psql(f"""
            CREATE SEQUENCE refusals;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF {condition} THEN
                    PERFORM nextval('public.refusals');
                    RAISE EXCEPTION 'I do not like %', NEW.message;
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON flytrail.{table}
                FOR EACH ROW EXECUTE FUNCTION refuse();""")

    def await_refusals(self, count):
        lab.wait_for(lambda: self.world.pg.psql("SELECT last_value >= {} FROM refusals"
                                                .format(count)) == [["t"]],
                     PATIENCE, f"{count} refusals")

    def dead_letters(self):
        return self.world.pg.psql(
            "SELECT attributes->>'why' FROM flytrail.events WHERE action = 'trail.dead_lettered'")

    @staticmethod
    def lines(count, message):
        """Lines of Fly's shape, a nanosecond apart."""
        return [json.dumps({"event": {"provider": "app"}, "host": "0ad1", "message": message(n),
                            "fly": {"app": {"instance": "0e286551c30586", "name": "web-1"},
                                    "region": "ams"},
                            "log": {"level": "info"},
                            "timestamp": f"{DAY}T10:00:00.{n:09}Z"}) for n in range(count)]

    def test_records_that_a_trigger_refuses_are_dead_letters_and_stop_nobody(self):
        self.refuse("log_lines", "NEW.message ~ '^numbered line (0|777|778|4999) '")
        ft = self.world.flytrail().start()
        self.world.publish(5000)
        self.world.await_rows(4996, "message LIKE 'numbered %'", timeout=PATIENCE)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 4996)
        self.assertEqual(self.dead_letters(), [["Postgres refuses a row: SQLSTATE P0001"]] * 4)
        self.assertNotIn("do not like", str(ft.log_lines()))

    def test_the_last_line_of_a_file_does_not_keep_run_from_its_end(self):
        path = os.path.join(self.world.folder, "lines.ndjson")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in self.lines(10, "line {} of a file".format))
        self.refuse("log_lines", "NEW.message LIKE 'line 9 of %'")
        ft = self.world.flytrail(arguments=[path]).start(wait=False)
        self.assertEqual(ft.process.wait(timeout=PATIENCE), 0)
        self.assertEqual(self.world.count(), 9)
        self.assertEqual(len(self.dead_letters()), 1)

    def check_that_nothing_is_buried(self, table, condition):
        self.refuse(table, condition)
        ft = self.world.flytrail().start()
        self.world.publish_lines(self.lines(20, lambda _: "INFO Main child exited normally with "
                                            "code: 1"))
        self.world.publish(100)
        self.await_refusals(25)
        self.assertEqual(self.dead_letters(), [])
        self.assertEqual(ft.events("dead_letter"), [])
        self.world.pg.psql(f"DROP TRIGGER refuse ON flytrail.{table}")
        self.world.await_rows(120, timeout=PATIENCE)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.dead_letters(), [])
        self.assertEqual(self.world.count(), 120)
        self.assertEqual(self.world.count("class = 'exit'"), 20)

    def test_a_server_that_refuses_every_line_gets_them_all_later(self):
        self.check_that_nothing_is_buried("log_lines", "true")

    def test_a_server_that_refuses_the_events_of_lines_gets_them_all_later(self):
        self.check_that_nothing_is_buried("events", "NEW.class <> 'trail'")


if __name__ == "__main__":
    unittest.main()
