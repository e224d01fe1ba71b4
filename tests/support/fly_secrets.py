"""The stand-in's secrets: what `fly secrets` changes, and what the Machines API says of them.

A family of resources is a class that fly_api.FAMILIES names. It has

    ROUTES      (pattern of the path, its name for misbehave(), known query parameters, method)
    begin()     sets up its state
    a method    (self, query, request, **the pattern's groups) -> (status, what JSON is made of)

and methods that change its state as flyctl does. `self` is the FlyApi; hold self.lock meanwhile.
An application is one that self.keys has.
"""

import hashlib
import time

from fly_time import time_text

APP = r"(?P<app>[a-z0-9-]+)"


class Secrets:
    # show_secrets is no known parameter here: nobody has any business with values.
    ROUTES = ((rf"/v1/apps/{APP}/secrets", "secrets", (), "answer_secrets"),)

    def begin(self):
        self.secrets = {}

    def answer_secrets(self, _query, _request, app):
        with self.lock:
            if app not in self.keys:
                return 404, {"error": "no"}
            return 200, {"secrets": [{"name": name, **secret}
                                     for name, secret in sorted(self.secrets.get(app, {}).items())]}

    def secrets_set(self, app, **values):
        """As `fly secrets set --stage`: no release and no line tells of it."""
        now = time_text(time.time_ns())
        with self.lock:
            secrets = self.secrets.setdefault(app, {})
            for name, value in values.items():
                digest = hashlib.sha256(f"{app} {name} {value}".encode()).hexdigest()[:32]
                created = secrets.get(name, {}).get("created_at", now)
                secrets[name] = {"digest": digest, "created_at": created, "updated_at": now}

    def secrets_unset(self, app, *names):
        with self.lock:
            for name in names:
                self.secrets[app].pop(name)
