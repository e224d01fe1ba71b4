"""The image: the text of its Dockerfile, and what is in it.

deploy/Dockerfile is built by buildah on a base that debootstrap makes (tests/support/image.py says why).
"""

import contextlib
import gzip
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import image  # noqa: E402

USER = 10001
MIB = 1024 * 1024
# Planted where it would get into an image that copies too much.
SECRET = "made-up-secret-" + os.urandom(8).hex()
UNPACKED_BYTES_MAX = 40 * MIB


def instructions():
    """(word, rest) of each instruction of the Dockerfile, continued lines in one."""
    with open(image.DOCKERFILE, encoding="utf-8") as file:
        text = re.sub(r"^\s*#.*\n", "", file.read(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


class Dockerfile(unittest.TestCase):
    """Its text, by the rules that scanners of Dockerfiles have."""

    def setUp(self):
        self.all = instructions()

    def rests(self, word):
        return [rest for name, rest in self.all if name == word]

    def stages(self):
        """The instructions of each stage."""
        starts = [at for at, (word, _) in enumerate(self.all) if word == "FROM"] + [len(self.all)]
        return [self.all[start:end] for start, end in zip(starts, starts[1:])]

    def test_every_base_is_a_digest_or_a_stage_before(self):
        known = {"scratch"}
        default = dict(rest.split("=", 1) for rest in self.rests("ARG"))
        self.assertRegex(default["BASE"], r"^debian:bookworm-slim@sha256:[0-9a-f]{64}$")
        for rest in self.rests("FROM"):
            base, _, name = rest.partition(" AS ")
            self.assertIn(base, known | {"${BASE}"})
            known.add(name)
        for rest in self.rests("COPY"):
            for source in re.findall(r"--from=(\S+)", rest):
                self.assertIn(source, known)
        self.assertNotIn("latest", " ".join(rest for _, rest in self.all))

    def test_it_copies_by_name_and_adds_nothing(self):
        self.assertEqual(self.rests("ADD"), [])
        for rest in self.rests("COPY"):
            if "--from" not in rest:
                self.assertNotIn(".", rest.split()[:-1], "the whole context is copied")

    def test_apt_leaves_nothing_and_no_pipe_hides_a_failure(self):
        for rest in self.rests("RUN"):
            self.assertNotIn("|", rest.replace("||", ""))
            self.assertNotRegex(rest, r"\b(curl|wget|sudo|chmod \+?s|apt-get upgrade)\b")
            if "apt-get" in rest or "install-packages" in rest:
                self.assertIn("rm -rf /var/lib/apt/lists", rest)

    def test_the_last_stage_is_the_program_as_its_user(self):
        last = dict((word, rest) for word, rest in self.stages()[-1])
        self.assertEqual(last["FROM"], "scratch")
        self.assertEqual(last["USER"], f"{USER}:{USER}")
        self.assertEqual(last["STOPSIGNAL"], "SIGTERM")
        self.assertEqual(last["CMD"], '["flytrail", "run"]')
        self.assertNotIn("ENTRYPOINT", last)
        self.assertNotIn("VOLUME", last)  # one that nobody asked for would hide that none is mounted
        self.assertNotIn("RUN", last)

    def test_no_instruction_names_a_secret(self):
        for word, rest in self.all:
            if word in ("ENV", "ARG", "LABEL"):
                self.assertNotRegex(rest, r"(?i)token|password|secret|database_url|api_key")


class Built(unittest.TestCase):
    """Cases with the image, built once from a context in which secrets lie about."""

    root = None

    @classmethod
    def setUpClass(cls):
        why = image.why_not()
        if why:
            raise unittest.SkipTest(why)
        cls.context = tempfile.mkdtemp(prefix="flytrail-context-")
        cls.addClassCleanup(shutil.rmtree, cls.context, True)
        copy_context(cls.context)
        cls.name = image.build(context=cls.context, FLYTRAIL_DATABASE_URL=f"postgres://u:{SECRET}@db/flytrail")
        cls.root = cls.enterClassContext(image.Root(cls.name))

    def files(self):
        """(path in the image, path here, lstat) of all of them."""
        for folder, names, others in os.walk(self.root.path):
            for name in names + others:
                path = os.path.join(folder, name)
                yield path[len(self.root.path):], path, os.lstat(path)


def copy_context(folder):
    """What git has, as a clean checkout is, and secrets beside it."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0")[:-1] if listed.returncode == 0 else []
    if names:
        subprocess.run(["cp", "--parents", "-a", "-t", folder, *names], cwd=ROOT, check=True)
    else:
        shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build", ".git"))
    for name in (".env", "token", "deploy/demo/.env", "src/key.pem", "tests/support/.env", ".git/config"):
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(f"ACCESS_TOKEN={SECRET}\n")


class Contents(Built):
    def test_it_is_small(self):
        size = sum(info.st_size for _, _, info in self.files() if stat.S_ISREG(info.st_mode))
        packed = subprocess.run(["tar", "-C", self.root.path, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        print(f"## the image is {size / MIB:.1f} MiB, {len(gzip.compress(packed, 6)) / MIB:.1f} MiB packed")
        self.assertLess(size, UNPACKED_BYTES_MAX)

    def test_it_has_the_program_what_that_loads_and_a_shell(self):
        files = {path: info for path, _, info in self.files() if not stat.S_ISDIR(info.st_mode)}
        programs = {path for path in files if re.match(r"/(usr/)?(local/)?s?bin/", path)}
        self.assertEqual(programs, {"/usr/local/bin/flytrail", "/usr/bin/dash", "/usr/bin/sh"})
        for path in files:
            self.assertRegex(path, r"^/(usr/(lib|lib64)/.*\.so[.0-9]*|usr/lib/ssl/.*|usr/share/doc/[^/]+/copyright"
                                   r"|usr/(local/)?bin/[^/]*|bin|lib|lib64|etc/.*|var/lib/dpkg/status\.d/[^/]*"
                                   r"|data/NO-VOLUME)$")
        packages = {path.split("/")[-1] for path in files if "/status.d/" in path}
        self.assertEqual(packages, {path.split("/")[4] for path in files if path.endswith("/copyright")})
        self.assertTrue({"libc6", "libpq5", "libssl3", "libnats3.4"} <= packages, packages)

    def test_no_file_gives_rights_and_only_the_spools_place_is_the_users(self):
        for path, here, info in self.files():
            self.assertEqual(info.st_mode & (stat.S_ISUID | stat.S_ISGID), 0, path)
            self.assertEqual([name for name in os.listxattr(here, follow_symlinks=False)
                              if name.startswith("security.")], [], path)
            owner = USER if path.startswith("/data") else 0
            self.assertEqual((info.st_uid, info.st_gid), (owner, owner), path)
            if not stat.S_ISLNK(info.st_mode):
                self.assertEqual(info.st_mode & 0o022, 0, f"{path} can be written by others")

    def test_no_layer_and_no_history_holds_a_secret(self):
        self.assertNotIn(SECRET, str(image.inspect(self.name)))
        for folder, _, names in os.walk(f"{image.STORE}/root"):
            for name in names:
                path = os.path.join(folder, name)
                # What another test's container had, and is gone meanwhile, is in no layer of this image.
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as file:
                            self.assertNotIn(SECRET.encode(), file.read(), path)

    def test_what_it_says_of_itself(self):
        config = self.root.config
        self.assertEqual((config["User"], config["Cmd"], config["StopSignal"]),
                         (f"{USER}:{USER}", ["flytrail", "run"], "SIGTERM"))
        self.assertNotIn("Entrypoint", config)
        self.assertEqual(set(self.root.environment()), {"PATH"})
        with open(os.path.join(self.root.path, "etc/passwd"), encoding="ascii") as file:
            self.assertIn(f"flytrail:x:{USER}:{USER}:", file.read())


class Demo(unittest.TestCase):
    """The other target: what `make demo` shows, where there is nothing but Docker."""

    @classmethod
    def setUpClass(cls):
        why = image.why_not()
        if why:
            raise unittest.SkipTest(why)

    def test_it_tells_the_incident_as_nobody_in_particular(self):
        with image.Root(image.build("demo")) as root:
            self.assertEqual(root.config["User"], "postgres")
            text = image.buildah("run", "--isolation", "chroot", root.container, "--", *root.config["Cmd"])
        self.assertRegex(text, r"(?m)^6/6 \d+ lines published, \d+ rows in Postgres")
        with open(os.path.join(ROOT, "deploy/demo/questions.sql"), encoding="utf-8") as file:
            first = file.readline()[3:].rstrip("\n")
        self.assertIn(f"\n1. {first}", text)
        self.assertIn("mara.lind@example.com", text)


if __name__ == "__main__":
    unittest.main()
