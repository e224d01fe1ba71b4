"""A network namespace for one flytrail, on a cable that can be pulled: packets are lost, nobody
is told, and TCP finds out by itself. Only root may lay one; Refused says why it is not allowed.
"""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import lab  # noqa: E402


class Refused(Exception):
    """This machine does not let us."""


def run(*words):
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if ip is None:
        raise Refused("there is no program ip")
    done = subprocess.run([ip, *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(done.stderr.strip() or f"ip {' '.join(words)} failed")
    return ip


class Cable:
    """near: the address of this machine at the cable; far: that of who is in the namespace."""

    def __init__(self, number):
        # Of this process and replica alone; link-local, so that no route of the machine is met.
        idx = (os.getpid() * 2 + number) % (254 * 64)
        prefix, last = f"169.254.{idx // 64 + 1}", idx % 64 * 4
        self.near, self.far = f"{prefix}.{last + 1}", f"{prefix}.{last + 2}"
        self.name = f"soak{os.getpid()}n{number}"
        self.end = f"s{os.getpid()}n{number}"
        self.relay = None
        try:
            self.lay()
        except Refused:
            self.close()
            raise

    def lay(self):
        self.ip = run("netns", "add", self.name)
        run("link", "add", self.end, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("addr", "add", f"{self.near}/30", "dev", self.end)
        run("link", "set", self.end, "up")
        for words in (("addr", "add", f"{self.far}/30", "dev", "eth0"),
                      ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
            run("-n", self.name, *words)

    def inside(self, *command):
        """The command as it runs within the namespace; its process is the command's own."""
        return [self.ip, "netns", "exec", self.name, *command]

    def bring(self, port):
        """The port, inside, of a loopback address that leads to this port at the near end."""
        self.relay = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             *self.inside(sys.executable, os.path.abspath(__file__), self.near, str(port))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        return int(self.relay.stdout.readline())

    def pull(self):
        run("link", "set", self.end, "down")

    def plug(self):
        run("link", "set", self.end, "up")

    def close(self):
        if self.relay is not None:
            self.relay.kill()
            self.relay.wait()
            self.relay.stdout.close()
        for words in (("link", "del", self.end), ("netns", "del", self.name)):
            try:
                run(*words)
            except Refused:
                pass  # it was not made


def main():
    """The relay of bring(): cable.py ADDRESS PORT, inside; prints the port where it listens."""
    link = lab.Link(int(sys.argv[2]), to=sys.argv[1])
    print(link.port, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
