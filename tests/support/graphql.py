"""As much of GraphQL as a strict stand-in needs: a query is read, checked against a schema, and answered.

    schema = {"Query": {"organization": Field("Organization", ("slug",))},
              "Organization": {"members": Field("OrganizationMembershipsConnection", PAGE)}, ...}
    query = graphql.parse(text)                      # Refused: it is no query
    graphql.check(schema, query, variables)          # Refused: unknown fields, arguments, variables

What refuses says a code, as Fly's answers have it in "extensions".
"""

import collections
import re

Field = collections.namedtuple("Field", "type arguments", defaults=(None, ()))
Query = collections.namedtuple("Query", "name variables selection")
Selected = collections.namedtuple("Selected", "name arguments selection")
WORD = re.compile(r"\s*([A-Za-z_]\w*|\$[A-Za-z_]\w*|\d+|\"[^\"]*\"|[{}():!,])")


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Reader:
    def __init__(self, text):
        self.words, at = [], 0
        while text[at:].strip():
            match = WORD.match(text, at)
            if not match:
                raise Refused("PARSE_ERROR", "no query")
            self.words.append(match[1])
            at = match.end()

    def take(self, *wanted):
        if not self.words or (wanted and self.words[0] not in wanted):
            raise Refused("PARSE_ERROR", f"wanted {wanted}")
        return self.words.pop(0)

    def may_take(self, wanted):
        return bool(self.words) and self.words[0] == wanted and bool(self.take(wanted))

    def variables(self):
        """By name: whether it must be given."""
        found = {}
        if self.may_take("("):
            while not self.may_take(")"):
                name = self.take()
                self.take(":")
                self.take("String")
                found[name] = self.may_take("!")
                self.may_take(",")
        return found

    def arguments(self):
        found = {}
        if self.may_take("("):
            while not self.may_take(")"):
                name = self.take()
                self.take(":")
                found[name] = self.take()
                self.may_take(",")
        return found

    def selection(self):
        self.take("{")
        found = []
        while not self.may_take("}"):
            name = self.take()
            arguments = self.arguments()
            inner = self.selection() if self.words and self.words[0] == "{" else None
            found.append(Selected(name, arguments, inner))
        return found


def parse(text):
    reader = Reader(text)
    reader.take("query")
    query = Query(reader.take(), reader.variables(), reader.selection())
    if reader.words:
        raise Refused("PARSE_ERROR", "more than a query")
    return query


def check(schema, query, variables):
    for name in variables:
        if f"${name}" not in query.variables:
            raise Refused("variableNotDefined", name)
    for name, is_needed in query.variables.items():
        if is_needed and variables.get(name[1:]) is None:
            raise Refused("missingRequiredVariable", name)
    used = set(check_selection(schema, "Query", query.selection))
    if used != set(query.variables):
        raise Refused("variableNotUsed", str(used ^ set(query.variables)))


def check_selection(schema, type_name, selection):
    """The variables that it uses."""
    for selected in selection:
        field = schema[type_name].get(selected.name)
        if field is None:
            raise Refused("undefinedField", f"{type_name}.{selected.name}")
        if (field.type is None) != (selected.selection is None):
            raise Refused("selectionMismatch", selected.name)
        for name, value in selected.arguments.items():
            if name not in field.arguments:
                raise Refused("argumentNotAccepted", f"{selected.name} {name}")
            if value.startswith("$"):
                yield value
        if selected.selection is not None:
            yield from check_selection(schema, field.type, selected.selection)


def value_of(word, variables):
    """What an argument is."""
    if word.startswith("$"):
        return variables.get(word[1:])
    return word.strip('"') if word.startswith('"') else int(word)


def pick(value, selection):
    """Of what is known, what was asked for."""
    if selection is None or value is None:
        return value
    if isinstance(value, list):
        return [pick(element, selection) for element in value]
    return {selected.name: pick(value[selected.name], selected.selection) for selected in selection}
