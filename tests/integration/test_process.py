"""What `flytrail run` lets others see of itself: no secret in its environment, no core, no rights to gain."""

import contextlib
import os
import pwd
import re
import shutil
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

MARK = "made-up-secret"


def secret_names():
    """Of the options that are secrets, as the table has them."""
    with open(os.path.join(ROOT, "include/base/config.def"), encoding="utf-8") as file:
        options = re.findall(r"^OPTION\(\w+, (\w+),(.*?)\"\)?$", file.read(), re.MULTILINE | re.DOTALL)
    return [name for name, rest in options if "CONFIG_SECRET" in rest.split("OPTION(")[0]]


class Process(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(flytrail.World())
        # Where it has to be an address, one of this machine, that nobody answers at.
        env = {name: (f"http://127.0.0.1:1/{MARK}" if name.endswith("_URL") else f"{MARK}-of-{name}")
               for name in secret_names()}
        env["FLYTRAIL_DATABASE_URL"] = cls.world.pg.url("flytrail_writer").replace("@", f":{MARK}@")
        env["FLYTRAIL_ADMIN_DATABASE_URL"] = cls.world.pg.url().replace("@", f":{MARK}@")
        env["ACCESS_TOKEN"] = cls.world.nats.ORG[1]
        # The sinks that their keys switch on ask nobody outside.
        env.update(FLYTRAIL_DATADOG_URL="http://127.0.0.1:1", AWS_BUCKET="b", S3_ENDPOINT="http://127.0.0.1:1",
                   FLYTRAIL_DRAIN_SECONDS="1")
        cls.secrets = [MARK, env["ACCESS_TOKEN"]]
        cls.ft = cls.world.flytrail(**env)
        cls.names = secret_names()
        if os.getuid() == 0:  # else the kernel's marks of who may look would be root's in any case
            nobody = pwd.getpwnam("nobody")
            os.chmod(cls.world.folder, 0o755)
            os.chown(cls.ft.folder, nobody.pw_uid, nobody.pw_gid)
            # Where nobody can get at it.
            program = shutil.copy(flytrail.BINARY, cls.ft.folder)
            cls.ft.program = ["/usr/bin/setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}",
                              "--clear-groups", program]
        cls.ft.start()
        cls.addClassCleanup(cls.ft.kill)

    def proc(self, name):
        with open(f"/proc/{self.ft.process.pid}/{name}", "rb") as file:
            return file.read()

    def status(self):
        return dict(re.findall(r"(?m)^(\w+):\t(.*)$", self.proc("status").decode()))

    def test_its_environment_holds_no_secret_and_no_others_are_wiped(self):
        """The kernel shows the memory in which the environment was handed over, whatever became of its names."""
        self.assertGreaterEqual(len(self.names), 10, self.names)
        environ = self.proc("environ")
        for secret in self.secrets:
            self.assertNotIn(secret.encode(), environ)
        self.assertIn(b"FLY_APP_NAME=flytrail", environ)
        self.assertNotIn(MARK.encode(), self.proc("cmdline"))

    @unittest.skipUnless(os.getuid() == 0, "whom the kernel lets look is seen by root alone")
    def test_its_own_user_cannot_look_into_it(self):
        """What is not dumpable is root's in /proc, and so is its memory; nobody but root can trace it."""
        self.assertNotEqual(self.status()["Uid"].split()[0], "0")
        for name in ("environ", "mem", "maps"):
            self.assertEqual(os.stat(f"/proc/{self.ft.process.pid}/{name}").st_uid, 0, name)

    def test_no_core_no_new_rights_no_file_for_others(self):
        status = self.status()
        self.assertEqual((status["NoNewPrivs"], status["Umask"]), ("1", "0077"))
        self.assertRegex(self.proc("limits").decode(), r"(?m)^Max core file size +0 +0 ")
        lab.wait_for(lambda: os.listdir(self.ft.env["FLYTRAIL_SPOOL_DIR"]), what="files of the spool")
        for folder, names, others in os.walk(self.ft.env["FLYTRAIL_SPOOL_DIR"]):
            for path in [folder] + [os.path.join(folder, name) for name in names + others]:
                with contextlib.suppress(FileNotFoundError):  # it was written anew, under another name
                    self.assertEqual(os.lstat(path).st_mode & 0o077, 0, path)


if __name__ == "__main__":
    unittest.main()
