"""The image of deploy/Dockerfile, built by Debian's buildah without an engine, and its root to run in.

    reason = image.why_not()               # a sentence, where this machine cannot
    built = image.build()                  # or image.build("demo")
    with image.Root(built) as root:
        root.words("flytrail", "run", volume=folder)   # to run in it, as the image's user
        root.environment()                             # what the image sets

The base that the Dockerfile names by its digest cannot be had everywhere, so it is built on one that
debootstrap makes of the same release; it is kept under build/, and so are the layers.
"""

import contextlib
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCKERFILE = os.path.join(ROOT, "deploy", "Dockerfile")
STORE = os.path.join(ROOT, "build", "image")
BASE = "localhost/flytrail-base:bookworm-slim"
MIRROR = "http://deb.debian.org/debian"
SOURCES = f"""deb {MIRROR} bookworm main
deb {MIRROR} bookworm-updates main
deb {MIRROR}-security bookworm-security main
"""
# What slim leaves out, of its own packages and of those that are installed later; licences stay.
LEFT_OUT = ("doc", "groff", "info", "linda", "lintian", "locale", "man")
SLIM = "".join(f"path-exclude /usr/share/{name}/*\n" for name in LEFT_OUT) + "path-include /usr/share/doc/*/copyright\n"
LEAVE_OUT = """
cd "$0"
rm -rf var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/*
for name; do
    [ ! -d "usr/share/$name" ] || find "usr/share/$name" -type f -not -path 'usr/share/doc/*/copyright' -delete
done
find usr/share -xtype l -delete
"""
BUILD_SECONDS = 900
IMAGES_MAX = 80  # a build has some thirty, of which ten are new with each change of a source
TOLD_CHARACTERS = 4000  # of what a tool printed last
CAP_SYS_ADMIN = 21
# What a container has of its own, made around the root; then what is to run in it.
ENTER = """
set -e
top=$1 volume=$2 how=$3 sys=$4 cgroup=$5 mount=$6
shift 6
if [ -n "$cgroup" ]; then echo $$ >"$cgroup/cgroup.procs"; fi
"$mount" --bind "$top" "$top"
"$mount" --rbind /dev "$top/dev"
"$mount" -t proc proc "$top/proc"
if [ -n "$sys" ]; then "$mount" --bind "$sys" "$top/sys"; fi
if [ -n "$volume" ]; then
    "$mount" --bind "$volume" "$top/data"
    "$mount" -o "remount,bind,$how" "$top/data"
    "$mount" -o remount,bind,ro "$top"
fi
exec "$@"
"""


class ImageError(Exception):
    """Something could not be built; the text is buildah's or debootstrap's own."""


def why_not():
    """Why no image can be built here; None where it can."""
    if os.getuid() != 0:
        return "only root can build an image here, and this is not root"
    with open("/proc/self/status", encoding="ascii") as status:
        rights, = [int(line.split()[1], 16) for line in status if line.startswith("CapEff:")]
    if not rights & 1 << CAP_SYS_ADMIN:
        return "root may not mount here: it lacks CAP_SYS_ADMIN"
    missing = [word for word in ("buildah", "debootstrap") if tool(word) == word]
    if missing:
        return f"{' and '.join(missing)} is not installed; install-packages.sh check does that"
    return None


def tool(name):
    """Its path, because the PATH of what is run is the image's."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or name


def run(*words, **env):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_SECONDS,
                          check=False, cwd=ROOT,
                          env={**os.environ, "BUILDAH_ISOLATION": "chroot", **env})
    if done.returncode != 0:
        raise ImageError(f"{' '.join(words)}: exit {done.returncode}\n"
                         f"{done.stdout[-TOLD_CHARACTERS:]}{done.stderr[-TOLD_CHARACTERS:]}")
    return done.stdout


def buildah(*words, **env):
    return run("buildah", "--root", f"{STORE}/root", "--runroot", f"{STORE}/run",
               # Without a mount that would outlive this, and keep `make clean` from its work.
               "--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true", *words, **env)


@contextlib.contextmanager
def alone():
    """Two tests may want the image at the same time."""
    os.makedirs(STORE, exist_ok=True)
    with open(f"{STORE}/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_base():
    """debian:bookworm-slim is debootstrap's minbase, without what dpkg is told to leave out."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    with tempfile.TemporaryDirectory(prefix="base-", dir=STORE) as folder:
        run(tool("debootstrap"), "--variant=minbase", "bookworm", folder, MIRROR)
        run("sh", "-ec", LEAVE_OUT, folder, *LEFT_OUT)
        with open(f"{folder}/etc/dpkg/dpkg.cfg.d/docker", "w", encoding="ascii") as config:
            config.write(SLIM)
        with open(f"{folder}/etc/apt/sources.list", "w", encoding="ascii") as sources:
            sources.write(SOURCES)
        container = buildah("from", "scratch").strip()
        try:
            buildah("add", "-q", container, folder, "/")
            buildah("commit", "-q", container, BASE)
        finally:
            buildah("rm", container)


def forget_old():
    """Layers of sources that were changed since; the next build is from the base on then."""
    if len(buildah("images", "--all", "--quiet").split()) > IMAGES_MAX:
        buildah("rmi", "--prune", "--force")


@functools.cache
def build(target=None, context=ROOT, **env):
    """The name of the image, built once in this process; layers that are as they were are taken from
    the last time."""
    name = f"localhost/flytrail-{target or 'run'}"
    with alone():
        make_base()
        forget_old()
        buildah("bud", "--isolation", "chroot", "--network", "host", "--pull=false", "--layers",
                "--build-arg", f"BASE={BASE}", *(["--target", target] if target else []),
                "-f", os.path.join(context, "deploy", "Dockerfile"), "-t", name, context, **env)
    return name


def inspect(name):
    """All that the image says of itself: configuration, history, layers."""
    return json.loads(buildah("inspect", "--type", "image", name))


class Root:
    """The image's files, in a folder; nothing that is run in it can change them."""

    def __init__(self, name):
        self.name = name
        self.config = inspect(name)["OCIv1"]["config"]

    def __enter__(self):
        with alone():
            self.container = buildah("from", "--pull=false", self.name).strip()
            self.path = buildah("mount", self.container).strip()
        return self

    def __exit__(self, *_):
        with alone():
            buildah("umount", self.container)
            buildah("rm", self.container)

    def environment(self):
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def flytrail(self, world, volume=None, env=None, **options):
        """world.flytrail() that will run in here; options are those of words()."""
        ft = world.flytrail(**{**self.environment(), "FLYTRAIL_SPOOL_DIR": "/data/spool", **(env or {})})
        ft.program = self.words("flytrail", volume=volume, **options)
        return ft

    @contextlib.contextmanager
    def volume(self, owner=None):
        """A new folder for /data, whose root is the user's, as Fly's init leaves it."""
        with tempfile.TemporaryDirectory(prefix="flytrail-volume-") as folder:
            user, group = map(int, (owner or self.config["User"]).split(":"))
            os.chown(folder, user, group)
            os.chmod(folder, 0o755)
            yield folder

    def words(self, *words, volume=None, read_only=False, sys=None, cgroup=None, trace=None):
        """Words that run these as the image's user in a mount namespace of its own, where all but the
        volume is read-only; the process that is started becomes them, and wants environment(). volume:
        a folder for /data, or none, and then the root can be written; sys: one for /sys; cgroup: the
        group to be in; trace: a file for what strace sees of the names of files."""
        tracer = [tool("strace"), "-f", "-qq", "-e", "trace=%file", "-e", "signal=none",
                  "-o", trace] if trace else []
        return [tool("unshare"), "--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "sh",
                self.path, volume or "", "ro" if read_only else "rw", sys or "", cgroup or "",
                tool("mount"), *tracer,
                tool("chroot"), f"--userspec={self.config['User']}", self.path, *words]
