"""The stand-in's GraphQL: who has access to the organisation. See fly_secrets.py for what a family is.

    api.member_add("alice@example.com", role="ADMIN")      # and member_remove, member_role, two_factor
    api.invite("bob@example.com", by="alice@example.com"); api.redeem("bob@example.com")
    api.token_create("ci", by="alice@example.com", days=90); api.token_revoke("ci", by="alice@example.com")
    api.peer_add("alice@example.com", host="laptop"); api.peer_remove(name)
    line = api.ssh_console("alice@example.com")            # what hallpass prints, if somebody publishes it
    api.ssh_issue("alice@example.com", hours=24)
    api.graphql_refuse("members")                          # the token may not read this; graphql_permit()
    api.graphql_partial("members", 1)                      # the first element and errors; count None: all

Strict: unknown fields, arguments and variables are refused, and so is all that would give access or is key
material (FORBIDDEN), which is also counted in `forbidden`; a page has at most `page_max` elements.
"""

import base64
import json
import re
import time

import fly_certs
import graphql
from graphql import Field

PAGE = ("first", "after")
PAGE_MAX = 100
HOUR = 3600
DAY = 24 * HOUR
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
EMAIL = {"email": Field()}


def connection(node, edge=None):
    """The schema of a connection of nodes; edges where they say more."""
    return {"nodes": Field(node), "pageInfo": Field("PageInfo"), "totalCount": Field(),
            **({"edges": Field(edge)} if edge else {})}


def leaves(*names):
    return {name: Field() for name in names}


SCHEMA = {
    "Query": {"organization": Field("Organization", ("slug",))},
    "Organization": {
        "members": Field("Members", PAGE), "invitations": Field("Invitations", PAGE),
        "limitedAccessTokens": Field("Tokens", PAGE), "wireGuardPeers": Field("Peers", PAGE),
        "delegatedWireGuardTokens": Field("DelegatedTokens", PAGE),
        "loggedCertificates": Field("Certificates", PAGE),
        "thirdPartyConfigurations": Field("ThirdParties", PAGE)},
    "PageInfo": leaves("hasNextPage", "endCursor"),
    "Members": connection("User", "MembersEdge"),
    "MembersEdge": {**leaves("role", "joinedAt", "alertsEnabled"), "node": Field("User")},
    "User": leaves("id", "email", "name", "twoFactorProtection", "createdAt"),
    "Invitations": connection("Invitation"),
    "Invitation": {**leaves("id", "email", "createdAt", "redeemed", "redeemedAt"), "inviter": Field("User")},
    "Tokens": connection("Token"),
    "Token": {**leaves("id", "name", "profile", "createdAt", "expiresAt", "revokedAt", "revokedBy", "token",
                       "tokenHeader", "profileParams"), "user": Field("User")},
    "DelegatedTokens": connection("DelegatedToken"),
    "DelegatedToken": leaves("id", "name"),
    "Peers": connection("Peer"),
    "Peer": leaves("id", "name", "region", "network", "peerip", "pubkey"),
    "ThirdParties": connection("ThirdParty"),
    "ThirdParty": leaves("id", "name", "location", "flyctlLevel", "uiexLevel", "customLevel", "createdAt",
                         "updatedAt"),
    "Certificates": connection("Certificate"),
    "Certificate": leaves("id", "root", "cert"),
}
FORBIDDEN = {"token", "tokenHeader", "profileParams", "pubkey"}


def now_text(seconds=None):
    """As Ruby prints it: to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if seconds is None else seconds))


def slug(text):
    return re.sub(r"[^A-Za-z0-9-]", "-", text)


def ulid(seconds, number):
    """Of a time; the rest of it is the number."""
    bits = int(seconds * 1000) << 80 | number
    return "".join(CROCKFORD[bits >> 5 * at & 31] for at in reversed(range(26)))


class GraphQL:
    ROUTES = ((r"/graphql", "graphql", (), "answer_graphql"),)

    def begin(self):
        self.access = {name: {} for name in SCHEMA["Organization"]}  # by field, by id
        self.refused_fields, self.partial_fields = set(), {}
        self.forbidden = []
        self.page_max = PAGE_MAX
        self.last_id = 0

    # ---- answers ----

    def answer_graphql(self, _query, request):
        try:
            asked = json.loads(request.body)
            if set(asked) - {"query", "variables", "operationName"}:
                raise graphql.Refused("PARSE_ERROR", "unknown members")
            query, variables = graphql.parse(asked["query"]), asked.get("variables") or {}
            graphql.check(SCHEMA, query, variables)
            self.refuse_forbidden(query.selection)
            return 200, self.execute(query, variables)
        except graphql.Refused as refused:
            return 200, {"errors": [{"message": str(refused), "extensions": {"code": refused.code}}]}
        except (KeyError, ValueError):
            return 400, {"errors": [{"message": "no JSON with a query"}]}

    def refuse_forbidden(self, selection):
        for selected in selection:
            if selected.name in FORBIDDEN:
                self.forbidden.append(selected.name)
                raise graphql.Refused("UNAUTHORIZED", selected.name)
            self.refuse_forbidden(selected.selection or ())

    def execute(self, query, variables):
        data, errors = {}, []
        for top in query.selection:
            arguments = {name: graphql.value_of(word, variables) for name, word in top.arguments.items()}
            if arguments.get("slug") != self.org:
                return {"data": {top.name: None},
                        "errors": [{"message": "Could not find Organization", "path": [top.name],
                                    "extensions": {"code": "NOT_FOUND"}}]}
            data[top.name] = {}
            for selected in top.selection:
                self.answer_field(selected, variables, data[top.name], errors)
            if any(value is None for value in data[top.name].values()):
                data[top.name] = None  # a field that is never null was
        return {"data": data, **({"errors": errors} if errors else {})}

    def answer_field(self, selected, variables, data, errors):
        arguments = {name: graphql.value_of(word, variables) for name, word in selected.arguments.items()}
        first = arguments.get("first")
        if first is None or not 0 < first <= PAGE_MAX:
            raise graphql.Refused("argumentLiteralsIncompatible", "first")
        path = ["organization", selected.name]
        if selected.name in self.refused_fields:
            errors.append({"message": f"You can't access {selected.name}", "path": path,
                           "extensions": {"code": "UNAUTHORIZED"}})
            data[selected.name] = None
            return
        page = self.page_of_connection(selected.name, min(first, self.page_max), arguments.get("after"))
        if selected.name in self.partial_fields:
            kept = self.partial_fields[selected.name]
            page["nodes"], page["edges"] = page["nodes"][:kept], page["edges"][:kept]
            errors.append({"message": "Something went wrong", "path": [*path, "nodes", kept],
                           "extensions": {"code": "SERVER_ERROR"}})
        data[selected.name] = graphql.pick(page, selected.selection)

    def page_of_connection(self, field, first, after):
        with self.lock:
            elements = [json.loads(json.dumps(element)) for element in self.access[field].values()]
        start = int(base64.b64decode(after)) if after else 0
        page = elements[start:start + first]
        end = base64.b64encode(str(start + len(page)).encode()).decode() if page else None
        return {"nodes": [element.get("node", element) for element in page], "edges": page,
                "totalCount": len(elements),
                "pageInfo": {"hasNextPage": start + first < len(elements), "endCursor": end}}

    # ---- what it refuses ----

    def graphql_refuse(self, field):
        """As for a token without the right to read it."""
        self.refused_fields.add(field)

    def graphql_permit(self):
        self.refused_fields.clear()
        self.partial_fields.clear()

    def graphql_partial(self, field, count=None):
        self.partial_fields[field] = count

    # ---- doings ----

    def access_keep(self, field, **element):
        """With an id of its own, which it returns."""
        with self.lock:
            self.last_id += 1
            element_id = f"{field[:4]}{self.last_id:08}"
            self.access[field][element_id] = {"id": element_id, **element}
        return element_id

    def access_find(self, field, name, key="name"):
        """The newest of a name."""
        return [element for element in self.access[field].values() if element[key] == name][-1]

    def member_add(self, email, role="MEMBER", two_factor=True):
        user = self.access_keep("members", role=role, joinedAt=now_text(), alertsEnabled="ENABLED")
        with self.lock:
            self.access["members"][user]["node"] = {
                "id": user, "email": email, "name": None, "twoFactorProtection": two_factor,
                "createdAt": now_text()}

    def member(self, email):
        return [edge for edge in self.access["members"].values() if edge["node"]["email"] == email][-1]

    def member_remove(self, email):
        with self.lock:
            self.access["members"].pop(self.member(email)["id"])

    def member_role(self, email, role):
        with self.lock:
            self.member(email)["role"] = role

    def two_factor(self, email, is_on):
        with self.lock:
            self.member(email)["node"]["twoFactorProtection"] = is_on

    def user(self, email):
        return {"id": f"user-{email}", "email": email, "name": None, "twoFactorProtection": True,
                "createdAt": now_text()}

    def invite(self, email, by):
        self.access_keep("invitations", email=email, createdAt=now_text(), redeemed=False, redeemedAt=None,
                  inviter=self.user(by))

    def redeem(self, email):
        """The person is a member then."""
        with self.lock:
            self.access_find("invitations", email, "email").update(redeemed=True, redeemedAt=now_text())
        self.member_add(email)

    def invitation_withdraw(self, email):
        with self.lock:
            self.access["invitations"].pop(self.access_find("invitations", email, "email")["id"])

    def token_create(self, name, by, days=90, profile="deploy_organization", created=None):
        """days None: without expiry; created: seconds since 1970."""
        created = time.time() if created is None else created
        return self.access_keep("limitedAccessTokens", name=name, profile=profile, createdAt=now_text(created),
                         expiresAt=None if days is None else now_text(created + days * DAY), revokedAt=None,
                         revokedBy=None, user=self.user(by))

    def token_revoke(self, name, by):
        with self.lock:
            self.access_find("limitedAccessTokens", name).update(revokedAt=now_text(), revokedBy=by)

    def delegated_token_create(self, name):
        return self.access_keep("delegatedWireGuardTokens", name=name)

    def third_party_add(self, name, level="REQUIRED"):
        """As a single sign-on that is set up."""
        self.access_keep("thirdPartyConfigurations", name=name, location="https://sso.example.com",
                         flyctlLevel=level, uiexLevel=level, customLevel="OPT_IN", createdAt=now_text(),
                         updatedAt=now_text())

    def third_party_level(self, name, level):
        with self.lock:
            self.access_find("thirdPartyConfigurations", name).update(flyctlLevel=level, updatedAt=now_text())

    def peer_add(self, email=None, host="laptop", name=None):
        """As flyctl names one, or as a person does."""
        name = name or f"interactive-{slug(host)}-{slug(email)}-{ulid(time.time(), self.last_id)}"
        self.access_keep("wireGuardPeers", name=name, region="ams", network=None, peerip="fdaa:0:1:a7b:1::2")
        return name

    def peer_remove(self, name):
        with self.lock:
            self.access["wireGuardPeers"].pop(self.access_find("wireGuardPeers", name)["id"])

    def ssh_certificate(self, key_id, hours, root=False, at=None):
        at = int(time.time() if at is None else at)
        return self.access_keep("loggedCertificates", root=root, cert=fly_certs.certificate(
            key_id, self.last_id + 1, at, at + hours * HOUR))

    def ssh_console(self, email, logged=True):
        """Issues a certificate of an hour, and returns what hallpass prints; whoever calls publishes it."""
        if logged:
            self.ssh_certificate(email, 1)
        return (time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime())
                + f" INFO New SSH session email={email} verified=true")

    def ssh_issue(self, email, hours=24):
        self.ssh_certificate(email, hours)
