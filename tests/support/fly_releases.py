"""The stand-in's releases: what `fly deploy` and `fly secrets deploy` make, and what is told of them.

    api.deploy("web-1", "registry.fly.io/web-1:deployment-A", "mara@example.com")
    version = api.begin_release("web-1", image, user); api.end_release("web-1", version, "failed")
    api.secrets_set("web-1", TOKEN="x"); api.secrets_deploy("web-1", user)   # `fly secrets set`
    api.rollback("web-1", 3, user)

See fly_secrets.py for what a family is.
"""

import time

from fly_time import time_text

APP = r"(?P<app>[a-z0-9-]+)"
LIMIT_MAX = 200
LIMIT_DEFAULT = 25


class Releases:
    ROUTES = ((r"/api/v1/releases/all_current", "all_current", (), "answer_all_current"),
              (rf"/api/v1/apps/{APP}/releases/current", "current", (), "answer_current"),
              (rf"/api/v1/apps/{APP}/releases", "releases", ("limit",), "answer_releases"))

    def begin(self):
        self.releases = {}  # by application, the oldest first

    # ---- what Fly says ----

    def answer_all_current(self, _query, _request):
        with self.lock:
            return 200, {app: releases[-1]["created_at"]
                         for app, releases in self.releases.items() if releases and app in self.keys}

    def answer_current(self, _query, _request, app):
        with self.lock:
            if app not in self.keys or not self.releases.get(app):
                return 404, {"error": "no"}
            return 200, self.releases[app][-1]

    def answer_releases(self, query, _request, app):
        limit = query.get("limit", str(LIMIT_DEFAULT))
        if not limit.isdigit() or not 1 <= int(limit) <= LIMIT_MAX:
            return 400, {"error": "no"}
        with self.lock:
            if app not in self.keys:
                return 404, {"error": "no"}
            return 200, {"releases": self.releases.get(app, [])[::-1][:int(limit)]}

    # ---- what flyctl does ----

    def begin_release(self, app, image, user, strategy="rolling", ns=None):
        """Its version. The machines do not have it yet. ns: when, if not now."""
        with self.lock:
            releases = self.releases.setdefault(app, [])
            version = releases[-1]["version"] + 1 if releases else 1
            releases.append({"id": f"rel{app}{version:06}", "version": version, "stable": False,
                             "in_progress": True, "status": "running", "strategy": strategy,
                             "user": user, "created_at": time_text(ns or time.time_ns()),
                             "image_ref": image})
            return version

    def end_release(self, app, version, status="complete"):
        with self.lock:
            # Another dictionary: the one before may be on its way to a client.
            self.releases[app] = [
                {**release, "status": status, "in_progress": False, "stable": status == "complete"}
                if release["version"] == version else release for release in self.releases[app]]

    def deploy(self, app, image, user, status="complete", ns=None):
        version = self.begin_release(app, image, user, ns=ns)
        self.end_release(app, version, status)
        return version

    def image_of(self, app, version=None):
        with self.lock:
            return next(release["image_ref"] for release in reversed(self.releases[app])
                        if version is None or release["version"] == version)

    def secrets_deploy(self, app, user):
        """`fly secrets deploy`, and the second half of set and unset without --stage."""
        return self.deploy(app, self.image_of(app), user)

    def rollback(self, app, version, user):
        """`fly deploy --image` with the image of an earlier release."""
        return self.deploy(app, self.image_of(app, version), user)
