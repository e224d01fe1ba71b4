"""The stand-in's token: what Fly says of the one that asks. See fly_secrets.py for the form."""


class Current:
    ROUTES = ((r"/v1/tokens/current", "tokens/current", (), "answer_current_token"),)

    def begin(self):
        self.token_covers = {"apps": [], "user": ""}

    def answer_current_token(self, _query, _request):
        with self.lock:
            return 200, {"tokens": [{"token_id": "00000000-0000-4000-8000-0000000000aa", "org_slug": self.org,
                                     "organization": "1", **self.token_covers}]}
